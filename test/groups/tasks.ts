/** The exercise's 21 tasks. */
for (let task = 0; task <= 20; task++) await import(`../tasks/${task}.test.ts`)
export {}
