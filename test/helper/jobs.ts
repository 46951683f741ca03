/** Runs four tests at a time in a file or group that imports this: they mostly wait for programs or for time. */
import t from 'tap'

t.jobs = 4
