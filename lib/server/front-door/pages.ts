/** The pages: what each says, asks for, and leads to. */
import type { Config } from '../config.ts'
import { duration } from './duration.ts'
import { EMAIL, form, hidden, newPassword, OLD_PASSWORD, OWN_EMAIL, PASSWORD } from './fields.ts'
import { type Markup, markup, type State } from './markup.ts'
import { buildPage } from './page.ts'

/** All pages, by name. */
export type Pages = ReturnType<typeof buildPages>

/** Links to a page keep the way back. */
const backQuery = ({ rd }: State) => rd && `?rd=${encodeURIComponent(rd)}`
const links = (content: Markup) => markup`<p class="links">${content}</p>\n`
const loginLink = markup`<a href="/login${backQuery}">Log in</a>`

/** Builds the pages for a configuration. */
export function buildPages(config: Config) {
  const hasMail = config.resetWebhook !== null
  const isOpen = config.registration === 'open'
  const forgotLink = hasMail ? markup`<a href="/forgot">Forgot your password?</a>` : ''
  const registerLink = isOpen ? markup`<a href="/register${backQuery}">Create an account</a>` : ''
  const choose = (name: 'password' | 'new_password', label: string) => newPassword(name, label, config.auth.passwordMin)
  return {
    login: buildPage(
      config,
      'Log in',
      markup`${form('/login', 'Log in', markup`${hidden('rd')}${EMAIL}${PASSWORD}`)}
${hasMail || isOpen ? links(markup`${registerLink} ${forgotLink}`) : ''}`,
    ),
    register: buildPage(
      config,
      'Create an account',
      markup`${form('/register', 'Create account', markup`${hidden('rd')}${EMAIL}${choose('password', 'Password')}`)}
${links(markup`Have an account already? ${loginLink}`)}`,
    ),
    /** Where something fails, and a form would be of no use. */
    failed: buildPage(config, 'This did not work', links(markup`<a href="/account">Your account</a>`)),
    account: buildPage(
      config,
      'Your account',
      markup`<p>You are logged in as <strong>${({ email }) => email}</strong>.</p>
<form method="post" action="/logout"><button class="plain">Log out</button></form>
<h2>Change your password</h2>
${form('/account', 'Change password', markup`${OWN_EMAIL}${OLD_PASSWORD}${choose('new_password', 'New password')}`)}`,
    ),
    forgot: buildPage(
      config,
      'Forgot your password?',
      markup`<p class="quiet">Get a link to choose a new one, by mail.</p>
${form('/forgot', 'Send the link', EMAIL)}
${links(loginLink)}`,
    ),
    /** After the forgot page, for known and unknown emails alike. */
    sent: buildPage(
      config,
      'Check your mail',
      markup`<p>If <strong>${({ email }) => email}</strong> has an account here, a link to choose a new password is on its way.
It works once, and for ${duration(config.auth.resetTtl)}.</p>
${links(markup`<a href="/forgot">Send it again</a> ${loginLink}`)}`,
    ),
    reset: buildPage(
      config,
      'Choose a new password',
      markup`${form('/reset', 'Set password', markup`${hidden('token')}${EMAIL}${choose('new_password', 'New password')}`)}
${hasMail ? links(markup`<a href="/forgot">Send a new link</a>`) : ''}`,
    ),
  }
}
