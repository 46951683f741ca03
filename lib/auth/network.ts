/** What counts as one client: an IPv4 address, or a /64 of IPv6. */
import { isIPv6 } from 'node:net'

/**
 * The network of an address. A subscriber has at least a /64 of IPv6, 2^64 addresses, and could take a new one for every
 * try (RFC 6177). An IPv4 address that is written as IPv6, `::ffff:1.2.3.4`, is that IPv4 address. What is not an address
 * is a network of its own.
 */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  // URL normalizes the many ways to write an address (RFC 5952), but refuses a zone such as %eth0.
  const { hostname } = new URL(`http://[${address.replace(/%.*/, '')}]`)
  const [head = [], tail = []] = hostname
    .slice(1, -1)
    .split('::')
    .map((part) => part.split(':').filter(Boolean))
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0')
  const groups = [...head, ...zeros, ...tail]
  if (groups.slice(0, 6).join(':') !== '0:0:0:0:0:ffff') return `${groups.slice(0, 4).join(':')}::/64`
  const bytes = groups.slice(6).flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255])
  return bytes.join('.')
}
