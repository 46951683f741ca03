/** Task 6, "Basic Flask app": the welcome at `/`. */
import t from 'tap'
import { startForCurl } from '../helper/curl.ts'

t.test('task 6: GET / says Bienvenue', async (t) => {
  const { curl } = await startForCurl(t)
  // As in the exercise.
  t.match(await curl('curl localhost:5000/'), { status: 200, body: { message: 'Bienvenue' } })
})
