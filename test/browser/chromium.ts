/** A real Chromium, and what it has to say about the pages. */
import { existsSync } from 'node:fs'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'

const PROGRAM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const FLAGS = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-gpu',
  '--disable-quic',
  '--disable-sync',
  '--no-first-run',
  '--no-sandbox',
]

/** Why these tests are skipped, or `false`. */
export const missing = PROGRAM === undefined ? 'no Chromium: apt-get install chromium' : false

/** Starts a browser for which every name below example.com leads to a port of this machine. */
export async function startBrowser(t: Test, https = 443): Promise<Browser> {
  const args = [...FLAGS, `--host-resolver-rules=MAP *.example.com 127.0.0.1:${https}`]
  const browser = await chromium.launch({ ...(PROGRAM && { executablePath: PROGRAM }), args })
  t.teardown(() => browser.close())
  return browser
}

/**
 * Opens a new profile. The test fails if a page in it throws, if a request fails, or if anything is written to its
 * console (a violation of the Content-Security-Policy, advice about a form), except the line about a 4xx answer.
 */
export async function openProfile(
  t: Test,
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<BrowserContext> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options })
  t.teardown(() => context.close())
  context.on('console', (message) => {
    if (/^Failed to load resource: the server responded with a status of 4\d\d/.test(message.text())) return
    t.fail(`the console says: ${message.type()} ${message.text()}`, { at: message.location() })
  })
  context.on('weberror', (error) => t.fail(`an error on the page: ${error.error().message}`))
  context.on('requestfailed', (request) => t.fail(`${request.url()}: ${request.failure()?.errorText}`))
  return context
}

/** Fills in a form's fields, by their labels, sends it with its button, and waits for the page that follows. */
export async function send(page: Page, button: string, fields: Record<string, string> = {}): Promise<void> {
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value)
  const shown = page.waitForEvent('load')
  await page.getByRole('button', { name: button, exact: true }).click()
  await shown
}
