/** The service's address from outside: PUBLIC_URL and COOKIE_DOMAIN, checked. */
import { ValueError } from '../errors.ts'

/** `publicUrl` is an origin; `cookieDomain` is the domain whose hosts share the session, in lower case; `null`: not set. */
export type PublicAddress = { publicUrl: string | null; cookieDomain: string | null }

/**
 * Checks both variables; `''` means not set.
 * @throws {ValueError} names the variable that is wrong, and its value
 */
export function readPublicAddress(publicUrl: string, cookieDomain: string, cookieSecure: boolean): PublicAddress {
  const url = checkUrl(publicUrl, cookieSecure)
  return { publicUrl: url, cookieDomain: checkDomain(cookieDomain, url) }
}

function checkUrl(value: string, cookieSecure: boolean): string | null {
  if (value === '') return null
  const url = URL.canParse(value) ? new URL(value) : null
  // What an origin leaves out (a path, a password) would be dropped in silence.
  if (url === null || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw new ValueError(`PUBLIC_URL=${value}: expected https://HOST or https://HOST:PORT (or http://)`)
  }
  if (url.protocol === 'https:' && !cookieSecure)
    throw new ValueError(`PUBLIC_URL=${value}: https needs COOKIE_SECURE=1`)
  return url.origin
}

function checkDomain(value: string, publicUrl: string | null): string | null {
  if (value === '') return null
  const domain = value.toLowerCase()
  // Browsers take no cookie for a top-level domain, and an address has no hosts below it.
  const isName = URL.canParse(`http://${domain}`) && new URL(`http://${domain}`).hostname === domain
  if (!isName || !/^[^.].*\.[^.]*[a-z][^.]*$/.test(domain)) {
    throw new ValueError(`COOKIE_DOMAIN=${value}: expected a domain, such as example.com`)
  }
  if (publicUrl === null) throw new ValueError(`COOKIE_DOMAIN=${value}: set PUBLIC_URL too`)
  if (!`.${new URL(publicUrl).hostname}`.endsWith(`.${domain}`)) {
    throw new ValueError(`COOKIE_DOMAIN=${value}: PUBLIC_URL=${publicUrl} is not in this domain`)
  }
  return domain
}
