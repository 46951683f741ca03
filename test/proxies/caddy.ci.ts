/** A real Caddy, with the configuration that the README points to. */
import { caddy } from '../helper/proxies.ts'
import { testProxy } from './suite.ts'

testProxy(caddy, 502)
