/**
 * Imported by files and groups whose tests mostly wait, for programs or for time: several of them wait side by side.
 */
import t from 'tap'

t.jobs = 4
