/** A real nginx, with the configuration that the README points to. */
import { nginx } from '../helper/proxies.ts'
import { testProxy } from './suite.ts'

testProxy(nginx, 500)
