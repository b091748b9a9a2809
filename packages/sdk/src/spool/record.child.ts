// Records 200 events into a spool that may be in the way, and prints what became of them.
import { join } from 'node:path'
import { openRecorder } from '../recorder/open.ts'
import { testOptions } from '../testing/options.ts'

const base = process.argv[2] as string
const { recorder } = openRecorder({
  ...testOptions,
  spoolDir: join(base, 'memory'),
  diskDir: join(base, 'disk'),
  diskCapBytes: 64 * 1024 * 1024,
})
process.removeAllListeners('warning')
process.on('warning', () => {})
for (let i = 0; i < 200; i++) {
  recorder.event(null, null, 'event', 2, 0, { input: `${i} `.repeat(1000) }, undefined)
  recorder.flush()
}
recorder.close()
console.log(JSON.stringify(recorder.stats()))
