/** People's journeys, in a real browser, through a real proxy, over TLS. */
import { createServer } from 'node:http'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { startServer } from '../helper/program.ts'
import { listen } from '../helper/http.ts'
import { startMailer } from '../helper/mailer.ts'
import type { ProxyKind } from '../helper/proxies.ts'
import { SETTINGS } from '../proxies/suite.ts'
import { missing, openProfile, send, startBrowser } from './chromium.ts'

const AUTH = 'https://auth.example.com'
const WIKI = 'https://wiki.example.com'
const NOTES = 'https://notes.example.com'
const DEEP = `${WIKI}/a%20page?x=1&y=%2F%26`

/** Starts an app whose pages say who has asked for them; returns its port. */
async function startApp(t: Test): Promise<number> {
  const app = createServer(({ method, url, headers }, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.end(`<!doctype html><title>App</title><link rel="icon" href="data:,"><h1>${headers['remote-email']}</h1>
      <p>${method} ${JSON.stringify(url)}</p><a href="${AUTH}/account">Account</a>
      <form method="post" action="/edit"><button>Save</button></form>`)
  })
  t.teardown(() => app.close().closeAllConnections())
  return listen(app)
}

/** Starts everything: a receiver of reset tokens, the service, two apps, the proxy and a browser. */
async function start(t: Test, kind: ProxyKind, env: Record<string, string> = {}) {
  const mailer = await startMailer(t)
  const server = await startServer(t, { ...SETTINGS, RESET_WEBHOOK: mailer.url, ...env })
  const [wiki, notes] = await Promise.all([startApp(t), startApp(t)])
  const { https } = await kind.start(t, { auth: server.port, wiki, notes })
  return { browser: await startBrowser(t, https), mailer }
}

/** Checks a page's address and heading. */
async function isAt(t: Test, page: Page, url: string, heading: string): Promise<void> {
  t.equal(page.url(), url)
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), heading)
}

/** The error, and the notice, on a page. */
const alertOn = (page: Page) => page.getByRole('alert').textContent()
const noticeOn = (page: Page) => page.getByRole('status').textContent()

/** Registers somebody, who is then logged in. */
async function register(page: Page, email: string): Promise<void> {
  await page.goto(`${AUTH}/register`)
  await send(page, 'Create account', { Email: email, Password: 'first password' })
}

/** The journeys through one kind of proxy. */
export function journeys(kind: ProxyKind): void {
  t.test(`one login opens two apps through ${kind.name}`, { skip: missing || kind.missing }, async (t) => {
    const { browser, mailer } = await start(t, kind)

    await t.test('a deep link leads to the login, and back once an account is made', async (t) => {
      const page = await (await openProfile(t, browser)).newPage()
      await page.goto(DEEP)
      await isAt(t, page, `${AUTH}/login?rd=${encodeURIComponent(DEEP)}`, 'Log in')
      await page.getByRole('link', { name: 'Create an account' }).click()
      await send(page, 'Create account', { Email: 'ann@me.com', Password: 'first password' })
      await isAt(t, page, DEEP, 'ann@me.com')
      await page.goto(`${NOTES}/`)
      await isAt(t, page, `${NOTES}/`, 'ann@me.com')
      await page.goto(`${AUTH}/login`)
      await isAt(t, page, `${AUTH}/account`, 'Your account')
    })

    await t.test('after a wrong password the form keeps the email and asks again', async (t) => {
      const page = await (await openProfile(t, browser)).newPage()
      await page.goto(DEEP)
      await send(page, 'Log in', { Email: 'ann@me.com', Password: 'guessed' })
      t.equal(await page.title(), 'Error: Log in')
      t.match(await alertOn(page), /wrong/i)
      t.equal(await page.getByLabel('Email').inputValue(), 'ann@me.com')
      const password = page.getByLabel('Password')
      t.ok(await password.evaluate((input) => input === document.activeElement), 'the password has the focus')
      t.equal(await password.inputValue(), '')
      await page.keyboard.type('first password')
      await page.keyboard.press('Enter')
      await page.waitForURL(DEEP)
      await isAt(t, page, DEEP, 'ann@me.com')
    })

    await t.test('the back button after a login leads forward to the app again', async (t) => {
      const page = await (await openProfile(t, browser)).newPage()
      await page.goto(`${NOTES}/`)
      await send(page, 'Log in', { Email: 'ann@me.com', Password: 'first password' })
      await isAt(t, page, `${NOTES}/`, 'ann@me.com')
      await page.goBack()
      await isAt(t, page, `${NOTES}/`, 'ann@me.com')
    })

    await t.test('a changed password replaces the old one', async (t) => {
      const context = await openProfile(t, browser)
      const page = await context.newPage()
      await register(page, 'bob@me.com')
      await isAt(t, page, `${AUTH}/account`, 'Your account')
      const change = (old: string) =>
        send(page, 'Change password', { 'Current password': old, 'New password': 'second password' })
      await change('guessed')
      t.match(await alertOn(page), /current password/)
      await change('first password')
      await isAt(t, page, `${AUTH}/account`, 'Your account')
      t.match(await noticeOn(page), 'changed')
      await page.goto(DEEP)
      await isAt(t, page, DEEP, 'bob@me.com')
      await context.clearCookies()
      await page.goto(`${AUTH}/login`)
      await send(page, 'Log in', { Email: 'bob@me.com', Password: 'first password' })
      t.match(await alertOn(page), /wrong/i)
      await send(page, 'Log in', { Password: 'second password' })
      await isAt(t, page, `${AUTH}/account`, 'Your account')
    })

    await t.test('the link in a mail resets a forgotten password, once', async (t) => {
      const context = await openProfile(t, browser)
      const page = await context.newPage()
      await register(page, 'cid@me.com')
      await context.clearCookies()
      await page.goto(`${AUTH}/login`)
      await page.getByRole('link', { name: 'Forgot your password?' }).click()
      await send(page, 'Send the link', { Email: 'cid@me.com' })
      await isAt(t, page, `${AUTH}/forgot`, 'Check your mail')
      await mailer.mails(1)
      const { email = '', reset_token: token = '' } = mailer.received[0] ?? {}
      await page.goto(`${AUTH}/reset?${new URLSearchParams({ token, email })}`)
      t.equal(await page.getByLabel('Email').inputValue(), 'cid@me.com')
      const url = page.url()
      await send(page, 'Set password', { 'New password': 'second password' })
      await isAt(t, page, `${AUTH}/login`, 'Log in')
      t.match(await noticeOn(page), 'changed')
      await send(page, 'Log in', { Email: 'cid@me.com', Password: 'second password' })
      await isAt(t, page, `${AUTH}/account`, 'Your account')
      await page.goto(url)
      await send(page, 'Set password', { 'New password': 'third password' })
      t.match(await alertOn(page), /used or has expired/)
    })

    await t.test('after a logout, the back button and the app lead to the login', async (t) => {
      const page = await (await openProfile(t, browser)).newPage()
      await register(page, 'dan@me.com')
      await page.goto(DEEP)
      await page.getByRole('link', { name: 'Account' }).click()
      await send(page, 'Log out')
      await isAt(t, page, `${AUTH}/login`, 'Log in')
      t.match(await noticeOn(page), 'logged out')
      await page.goBack()
      await isAt(t, page, `${AUTH}/login?rd=/account`, 'Log in')
      await page.goto(DEEP)
      await isAt(t, page, `${AUTH}/login?rd=${encodeURIComponent(DEEP)}`, 'Log in')
    })

    await t.test('a form of an app can be sent again after the session has ended', async (t) => {
      const context = await openProfile(t, browser)
      const page = await context.newPage()
      await register(page, 'gil@me.com')
      await page.goto(DEEP)
      await context.clearCookies()
      await send(page, 'Save')
      await isAt(t, page, `${WIKI}/edit`, 'You are not logged in')
      const opened = context.waitForEvent('page')
      await page.getByRole('link', { name: 'Log in in another tab' }).click()
      const tab = await opened
      await send(tab, 'Log in', { Email: 'gil@me.com', Password: 'first password' })
      await isAt(t, tab, `${AUTH}/account`, 'Your account')
      await page.reload()
      await isAt(t, page, `${WIKI}/edit`, 'gil@me.com')
      t.match(await page.getByRole('paragraph').textContent(), 'POST', 'the reload has sent it again')
    })

    await t.test('a login or logout in one tab counts in the other', async (t) => {
      const context = await openProfile(t, browser)
      const [one, two] = [await context.newPage(), await context.newPage()]
      await register(one, 'eve@me.com')
      await send(one, 'Log out')
      const eve = { Email: 'eve@me.com', Password: 'first password' }
      await one.goto(DEEP)
      await two.goto(`${NOTES}/`)
      await send(one, 'Log in', eve)
      await isAt(t, one, DEEP, 'eve@me.com')
      await two.reload()
      await isAt(t, two, `${NOTES}/`, 'eve@me.com')
      await two.goto(`${AUTH}/account`)
      await one.goto(`${AUTH}/account`)
      await send(one, 'Log out')
      await send(two, 'Change password', { 'Current password': 'first password', 'New password': 'second password' })
      await isAt(t, two, `${AUTH}/login?rd=/account`, 'Log in')
      await send(two, 'Log in', eve)
      await isAt(t, two, `${AUTH}/account`, 'Your account')
    })
  })

  t.test(`${kind.name} sends an expired session to the login`, { skip: missing || kind.missing }, async (t) => {
    const { browser } = await start(t, kind, { SESSION_TTL: '2' })
    const context = await openProfile(t, browser)
    const page = await context.newPage()
    await register(page, 'fay@me.com')
    // The browser drops the cookie when the session expires. A cookie that it keeps must be of no use either.
    const [cookie] = await context.cookies(AUTH)
    if (cookie === undefined) throw new Error('no cookie')
    await context.addCookies([{ ...cookie, expires: cookie.expires + 3600 }])
    await page.goto(DEEP)
    while (page.url() === DEEP) await page.reload()
    await isAt(t, page, `${AUTH}/login?rd=${encodeURIComponent(DEEP)}`, 'Log in')
    t.equal((await context.cookies(AUTH)).length, 1)
    await send(page, 'Log in', { Email: 'fay@me.com', Password: 'first password' })
    await isAt(t, page, DEEP, 'fay@me.com')
  })
}
