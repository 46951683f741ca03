/** Where a browser returns to after a login: the page that it came from, and never somebody else's site. */
import type { Config } from '../config.ts'

/** Where a login leads by default. */
const ACCOUNT = '/account'

/** The longest address that a browser returns to. */
export const MAX_ADDRESS_CHARS = 2048
/** An address with a host longer than any can be (RFC 1035, section 2.3.4), which may take quadratic time to parse. */
const LONG_HOST = /^ *(?:[a-z][a-z\d+.-]*:[/\\]*|[/\\]{2,})[^/\\?#]{300}/i

/** The service's own pages: instead of to one of these, a login leads to `/account`. */
const OWN_PAGES = /^\/+(?:login|logout|register|account|forgot|reset|verify)\/*$/
/** A base for relative addresses, on a host that cannot exist (RFC 2606, section 2). */
const NOWHERE = 'http://rd.invalid'

/**
 * The address to return to, from the field `rd`, fit for a `Location` header; `/account` if `rd` is missing, too
 * long or not printable ASCII, or leads to one of the service's own pages or to a site that is not allowed.
 *
 * `rd` comes from whoever made the link, so it is an open redirect unless it is checked (OWASP, Unvalidated Redirects
 * and Forwards Cheat Sheet). Checking the text does not work: browsers drop tabs and line breaks, take `\` for `/`, and
 * read `https:evil.com` and `/..//evil.com` in ways of their own. So it is parsed as browsers parse it (WHATWG URL),
 * the parsed parts are checked, and what is sent is the parsed address, never a piece of the text.
 */
export function returnTo({ publicUrl, cookieDomain, cookieSecure }: Config, rd: string | undefined): string {
  const base = publicUrl ?? NOWHERE
  if (!rd || rd.length > MAX_ADDRESS_CHARS || !/^[ -~]*$/.test(rd)) return ACCOUNT
  if (LONG_HOST.test(rd) || !URL.canParse(rd, base)) return ACCOUNT
  const url = new URL(rd, base)
  // The scheme first: the origin of blob:https://example.com/… is https://example.com.
  if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return ACCOUNT
  const isSameOrigin = url.origin === new URL(base).origin
  if (isSameOrigin && OWN_PAGES.test(url.pathname)) return ACCOUNT
  if (publicUrl === null) {
    // A relative address: a path that begins with `//` would name another host.
    if (!isSameOrigin || url.pathname.startsWith('//')) return ACCOUNT
    return `${url.pathname}${url.search}${url.hash}`
  }
  if (url.protocol === 'http:' && cookieSecure) return ACCOUNT
  return isSameOrigin || isSibling(url, new URL(publicUrl), cookieDomain) ? url.href : ACCOUNT
}

/** True if the session's cookie reaches this address, on the service's own scheme and port. */
function isSibling({ protocol, hostname, port }: URL, publicUrl: URL, cookieDomain: string | null): boolean {
  if (cookieDomain === null || protocol !== publicUrl.protocol || port !== publicUrl.port) return false
  return hostname === cookieDomain || hostname.endsWith(`.${cookieDomain}`)
}
