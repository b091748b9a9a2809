// Reads a spool into a store until nothing comes any more, or until a test kills it. Arguments: spool, disk tier, store.
import { Store } from '../../store/store.ts'
import { SpoolReceiver } from './receiver.ts'

const [memory = '', disk = '', directory = ''] = process.argv.slice(2)
const store = new Store(directory)
store.exporters(['test'])
let time = 0
const receiver = new SpoolReceiver({
  directories: [memory, disk],
  store,
  now: () => time,
  paused: () => false,
  log: (message, about) => process.stderr.write(`${message} ${JSON.stringify(about)}\n`),
})
process.stdout.write('started\n')
// Time passes, so that writers that are dead are found to be.
for (let idle = 0; idle < 4; idle = receiver.poll() ? 0 : idle + 1) time += 1001
receiver.stop()
store.close()
