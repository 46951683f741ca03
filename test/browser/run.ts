/** The pages in a real Chromium: `npm ci --prefix test/browser && node --import tsx test/browser/run.ts`. */
import t from 'tap'
import { caddy, nginx } from '../helper/proxies.ts'
import { journeys } from './journeys.ts'
import './pages.ts'

t.setTimeout(10 * 60 * 1000)
for (const kind of [nginx, caddy]) journeys(kind)
