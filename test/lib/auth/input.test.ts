import t from 'tap'
import { networkOf } from '../../../lib/auth/input.ts'

t.test('the network is the IPv4 address, or the /64 of an IPv6 address', async (t) => {
  for (const [address, network] of [
    ['1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:102:304', '1.2.3.4'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::/64'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['-', '-'],
    ['1::2]/[::', '1::2]/[::'],
  ] as const) {
    t.equal(networkOf(address), network, address)
  }
})
