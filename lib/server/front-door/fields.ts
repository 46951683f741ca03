/**
 * Forms and their fields, for people, password managers and screen readers alike: labels, the autocomplete tokens of WHATWG
 * HTML, no second password field, and nothing that keeps anybody from pasting (OWASP, Authentication Cheat Sheet).
 */
import { type Markup, markup, type State } from './markup.ts'

/** A message about what went wrong describes the fields: a screen reader reads it with each. */
const described = ({ error }: State) => error && markup` aria-describedby="error"`
/** The first field to fill in gets the focus: the email, or the password where the email is there. */
const focusEmail = ({ email }: State) => (email === '' ? markup` autofocus` : '')
const focusPassword = ({ email }: State) => email && markup` autofocus`
/** On a page that shows more than a form, only a message moves the focus. */
const focusOnError = ({ error }: State) => error && markup` autofocus`

/** The email; type=email would let browsers rewrite the domain of an address. */
export const EMAIL = markup`<label for="email">Email</label>
<input id="email" name="email" type="text" inputmode="email" autocomplete="username" autocapitalize="off" autocorrect="off" spellcheck="false" required value="${({ email }) => email}"${focusEmail}${described}>
`

/** The email of somebody who is logged in: it tells a password manager whose password is changed. */
export const OWN_EMAIL = markup`<label for="email">Email</label>
<input id="email" type="text" autocomplete="username" readonly value="${({ email }) => email}">
`

/** The password that a login asks for, */
export const PASSWORD = markup`<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${focusPassword}${described}>
`
/** and the one that somebody has to know to change it. */
export const OLD_PASSWORD = markup`<label for="password">Current password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${focusOnError}${described}>
`

/** A password that is chosen now, with at least `min` characters. */
export function newPassword(name: 'password' | 'new_password', label: string, min: number): Markup {
  const length = min > 1 ? markup` minlength="${String(min)}"` : ''
  const hint = min > 1 ? markup`<p class="hint" id="hint">At least ${String(min)} characters</p>\n` : ''
  const descriptions = ({ error }: State) => {
    const ids = `${min > 1 ? 'hint ' : ''}${error && 'error'}`.trim()
    return ids && markup` aria-describedby="${ids}"`
  }
  return markup`<label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="password" autocomplete="new-password" required${length}${descriptions}>
${hint}`
}

/** A hidden field. */
export function hidden(name: 'rd' | 'token'): Markup {
  return markup`<input type="hidden" name="${name}" value="${(state) => state[name]}">\n`
}

/** A form with its button. */
export function form(action: string, button: string, fields: Markup): Markup {
  return markup`<form method="post" action="${action}">
${fields}<button>${button}</button>
</form>`
}
