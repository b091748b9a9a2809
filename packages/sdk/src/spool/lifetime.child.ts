// Records observations 0, 1, 2 … into the spool below argv[2] and ends as argv[3] says.
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { openRecorder } from '../recorder/open.ts'
import { testOptions } from '../testing/options.ts'

const [base, ending] = isMainThread ? process.argv.slice(2) : (workerData as [string, string])
if (base === undefined || ending === undefined) throw new Error('usage: <directory> <ending>')

const { recorder } = openRecorder({
  ...testOptions,
  durable: ending === 'kill each record' ? 'record' : 'turn',
  spoolDir: join(base, 'memory'),
  diskDir: join(base, 'disk'),
  diskCapBytes: 1024 * 1024 * 1024,
})
const say = (text: string | number) => writeSync(1, `${text}\n`)
// Typed as a function that returns.
const exit: (code: number) => void = process.exit

let recorded = 0
function record(input?: unknown): void {
  const name = `${isMainThread ? 'main' : 'worker'} ${recorded++}`
  const span = recorder.start(null, null, name, 0, 0, { input }, undefined)
  recorder.end(span, undefined)
}

/** 3 MB that leave in slices, and an observation that stays open. */
function recordMore(): void {
  for (let i = 0; i < 100; i++) record({ i })
  record('large '.repeat(500_000))
  record(Buffer.alloc(3_000_000, 'audio'))
  recorder.start(null, null, 'open', 0, 0, { input: 'so far' }, undefined)
}

async function recordForever(): Promise<never> {
  while (true) {
    for (let i = 0; i < 7; i++) record({ text: `${recorded} `.repeat((recorded % 50) * 20) })
    recorder.flush()
    say(recorded)
    if (recorded % 70 === 0) await turn()
  }
}

switch (ending) {
  case 'natural end':
    recordMore()
    break
  case 'natural end, later':
    recordMore()
    setTimeout(recordMore, 20)
    break
  case 'process.exit':
    recordMore()
    exit(3)
    break
  case 'process.exit in a value':
    recordMore()
    record({ toJSON: () => exit(4) })
    break
  case 'uncaught exception':
    recordMore()
    throw new Error('uncaught')
  case 'unhandled rejection':
    recordMore()
    Promise.reject(new Error('unhandled'))
    break
  case 'SIGTERM':
    recordMore()
    recorder.flush()
    process.kill(process.pid, 'SIGTERM')
    break
  case 'SIGKILL after a flush':
    recordMore()
    recorder.flush()
    process.kill(process.pid, 'SIGKILL')
    break
  case 'SIGKILL after a turn':
    for (let i = 0; i < 100; i++) record({ i })
    await turn()
    await turn()
    process.kill(process.pid, 'SIGKILL')
    break
  case 'workers': {
    if (isMainThread) {
      recordMore()
      const worker = (ends: string) =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(import.meta.filename, { workerData: [base, ends] })
          worker.once('error', reject)
          worker.once('exit', () => resolve())
          worker.once('message', () => void worker.terminate())
        })
      await Promise.all([worker('natural end'), worker('process.exit'), worker('terminated')])
    }
    break
  }
  case 'terminated':
    recordMore()
    recorder.flush()
    parentPort?.postMessage('flushed')
    setInterval(() => {}, 1000)
    break
  case 'kill':
  case 'kill each record':
    await recordForever()
    break
  default:
    throw new Error(`unknown ending ${ending}`)
}
