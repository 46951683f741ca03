/** The pages: what each says, asks for, and leads to. README.md has the rules for people and password managers. */
import type { Service } from '../service.ts'
import { type Html, html } from './html.ts'
import { duration, type Page, type State } from './page.ts'

export const login: Page = (state, service) => {
  const isOpen = service.config.registration === 'open'
  const registerLink = isOpen ? link('/register', 'Create an account', state) : ''
  return {
    title: 'Log in',
    content: html`${form(
      '/login',
      'Log in',
      html`${hidden('rd', state.returnTo)}${email(state)}${password('Password', state, state.email !== '')}`,
    )}
${isOpen || service.webhook !== null ? links(html`${registerLink} ${forgotLink(service, 'Forgot your password?')}`) : ''}`,
  }
}

export const register: Page = (state, service) => ({
  title: 'Create an account',
  content: html`${form(
    '/register',
    'Create account',
    html`${hidden('rd', state.returnTo)}${email(state)}${newPassword('password', 'Password', state, service)}`,
  )}
${links(html`Have an account already? ${link('/login', 'Log in', state)}`)}`,
})

export const account: Page = (state, service) => ({
  title: 'Your account',
  content: html`<p>You are logged in as <strong>${state.email}</strong>.</p>
<form method="post" action="/logout"><button class="plain">Log out</button></form>
<h2>Change your password</h2>
${form(
  '/account',
  'Change password',
  html`${ownEmail(state)}${password('Current password', state, state.error !== '')}${newPassword('new_password', 'New password', state, service)}`,
)}`,
})

export const forgot: Page = (state) => ({
  title: 'Forgot your password?',
  content: html`<p class="quiet">Get a link to choose a new one, by mail.</p>
${form('/forgot', 'Send the link', email(state))}
${links(link('/login', 'Log in', state))}`,
})

/** Follows the forgot page, for known and unknown emails alike. */
export const sent: Page = (state, service) => ({
  title: 'Check your mail',
  content: html`<p>If <strong>${state.email}</strong> has an account here, a link to choose a new password is on its way.
It works once, and for ${duration(service.auth.options.resetTtl, Math.floor)}.</p>
${links(html`${forgotLink(service, 'Send it again')} ${link('/login', 'Log in', state)}`)}`,
})

export const reset: Page = (state, service) => ({
  title: 'Choose a new password',
  content: html`${form(
    '/reset',
    'Set password',
    html`${hidden('token', state.token)}${email(state)}${newPassword('new_password', 'New password', state, service)}`,
  )}
${service.webhook === null ? '' : links(forgotLink(service, 'Send a new link'))}`,
})

/** For somebody who sends a form to an app without being logged in: reloading this page sends the form again. */
export const loggedOut: Page = (_state, { config }) => ({
  title: 'You are not logged in',
  content: html`<p>Nothing was done. <a href="${config.publicUrl ?? ''}/login" target="_blank">Log in in another tab</a>, then come
back to this one and reload it: that sends what you filled in again.</p>
`,
})

/** For a failure after which a form would be of no use. */
export const failed: Page = () => ({
  title: 'This did not work',
  content: links(html`<a href="/account">Your account</a>`),
})

const links = (content: string | Html) => html`<p class="links">${content}</p>\n`

/** A link to a page that leads to the same address after a login. */
const link = (path: string, text: string, { returnTo }: State) =>
  html`<a href="${path}${returnTo && `?rd=${encodeURIComponent(returnTo)}`}">${text}</a>`

const forgotLink = ({ webhook }: Service, text: string) => (webhook === null ? '' : html`<a href="/forgot">${text}</a>`)

const form = (action: string, button: string, fields: Html) => html`<form method="post" action="${action}">
${fields}<button>${button}</button>
</form>`

const hidden = (name: string, value: string) => html`<input type="hidden" name="${name}" value="${value}">\n`

const autofocus = (isFocused: boolean) => (isFocused ? html` autofocus` : '')

/** A screen reader reads these elements together with the field: what went wrong, and a hint. */
function describedBy({ error }: State, hint = ''): string | Html {
  const ids = `${hint} ${error && 'error'}`.trim()
  return ids && html` aria-describedby="${ids}"`
}

/** The email, with the focus while it is empty; type=email would let browsers rewrite the domain of an address. */
const email = (state: State) => html`<label for="email">Email</label>
<input id="email" name="email" type="text" inputmode="email" autocomplete="username" autocapitalize="off" autocorrect="off" spellcheck="false" required value="${state.email}"${autofocus(state.email === '')}${describedBy(state)}>
`

/** The email of somebody who is logged in: it tells a password manager whose password is changed. */
const ownEmail = (state: State) => html`<label for="email">Email</label>
<input id="email" type="text" autocomplete="username" readonly value="${state.email}">
`

const password = (label: string, state: State, isFocused: boolean) => html`<label for="password">${label}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${autofocus(isFocused)}${describedBy(state)}>
`

function newPassword(name: string, label: string, state: State, { auth }: Service): Html {
  const min = auth.options.passwordMin
  const length = min > 1 ? html` minlength="${String(min)}"` : ''
  const hint = min > 1 ? html`<p class="hint" id="hint">At least ${String(min)} characters</p>\n` : ''
  return html`<label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="password" autocomplete="new-password" required${length}${describedBy(state, hint && 'hint')}>
${hint}`
}
