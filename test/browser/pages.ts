/** Every page in every state: axe-core finds no fault, and nothing is cut off. SCREENSHOTS=DIR saves pictures. */
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { startServer } from '../helper/program.ts'
import { missing, openProfile, send, startBrowser } from './chromium.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const LONG = `${'a.very.long.address.'.repeat(9)}bob@me.com`

/** Ways to view a page. 320 pixels are what a zoom of 400 % leaves of 1280 (WCAG 2.2, 1.4.10). */
const VIEWS = {
  light: { viewport: { width: 900, height: 800 }, colorScheme: 'light' },
  dark: { viewport: { width: 900, height: 800 }, colorScheme: 'dark' },
  narrow: { viewport: { width: 320, height: 640 }, colorScheme: 'light' },
  contrast: { viewport: { width: 320, height: 640 }, colorScheme: 'dark', forcedColors: 'active' },
} as const

/** Checks a page as it is now. */
async function look(t: Test, page: Page, name: string): Promise<void> {
  if (process.env['SCREENSHOTS'])
    await page.screenshot({ path: `${process.env['SCREENSHOTS']}/${name}.png`, fullPage: true })
  const isCutOff = () => document.documentElement.scrollWidth > window.innerWidth
  t.notOk(await page.evaluate(isCutOff), `${name}: nothing is cut off`)
  await page.evaluate(AXE)
  // Where the reader's colours replace those of the style sheet, axe-core would still judge the latter.
  const usesStyleSheet = await page.evaluate(() => !matchMedia('(forced-colors: active)').matches)
  const rules = { 'color-contrast': { enabled: usesStyleSheet }, 'target-size': { enabled: true } }
  const { violations, incomplete } = await page.evaluate(`axe.run({ rules: ${JSON.stringify(rules)} })`).then(Object)
  t.strictSame(
    [...violations, ...incomplete].map(({ id, nodes }) => `${id}: ${nodes[0].html}`),
    [],
    `${name}: axe-core`,
  )
  // Text at twice its size (WCAG 2.2, 1.4.4).
  await page.addStyleTag({ content: ':root { font-size: 200% }' })
  t.notOk(await page.evaluate(isCutOff), `${name}: nothing is cut off with twice the text`)
}

for (const [view, options] of Object.entries(VIEWS)) {
  t.test(`every page in every state is accessible: ${view}`, { skip: missing }, async (t) => {
    const proxied = { PUBLIC_URL: 'https://auth.example.com', COOKIE_SECURE: '1', TRUST_PROXY: '1' }
    const behindProxy = await startServer(t, { ...proxied, ACCESS_LOG: '0' })
    const env = { RESET_WEBHOOK: 'http://127.0.0.1:9/', PASSWORD_MIN: '8', ACCESS_LOG: '0' }
    const server = await startServer(t, env)
    const browser = await startBrowser(t)
    // The page's Content-Security-Policy forbids the script of axe-core.
    const context = await openProfile(t, browser, { ...options, bypassCSP: true })
    const page = await context.newPage()
    const see = (name: string) => look(t, page, `${view}-${name}`)
    const go = (path: string) => page.goto(`${server.url}${path}`)

    await go('/login?rd=/wiki')
    await see('login')
    await send(page, 'Log in', { Email: LONG, Password: 'guessed' })
    await see('login-wrong')
    await go('/register')
    await see('register')
    await send(page, 'Create account', { Email: 'no address', Password: 'long enough' })
    await see('register-refused')
    await send(page, 'Create account', { Email: LONG, Password: 'long enough' })
    await see('account')
    await go('/account')
    await send(page, 'Change password', { 'Current password': 'guessed', 'New password': 'long enough' })
    await see('account-wrong')
    await go('/account')
    await send(page, 'Change password', { 'Current password': 'long enough', 'New password': 'new password' })
    await see('account-changed')
    await go('/account')
    await send(page, 'Log out')
    await see('login-logged-out')
    await go('/forgot')
    await see('forgot')
    await send(page, 'Send the link', { Email: LONG })
    await see('forgot-sent')
    await go(`/reset?token=x&email=${encodeURIComponent(LONG)}`)
    await see('reset')
    await send(page, 'Set password', { 'New password': 'new password' })
    await see('reset-refused')
    await go('/logout')
    await see('failed')
    const original = { 'X-Original-URL': 'https://wiki.example.com/edit', 'X-Original-Method': 'POST' }
    await page.setExtraHTTPHeaders(original)
    await page.goto(`${behindProxy.url}/verify`)
    await see('logged-out')
    await page.setExtraHTTPHeaders({})
    for (let tries = 0; tries < 10; tries++) {
      await go('/login')
      await send(page, 'Log in', { Email: 'bob@me.com', Password: 'guessed' })
    }
    t.match(await page.getByRole('alert').textContent(), /Try again in \d+ minutes/)
    await see('login-wait')
  })
}
