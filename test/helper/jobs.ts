/** Runs four tests at a time in the files and groups that import it: theirs mostly wait for programs or for time. */
import t from 'tap'

t.jobs = 4
