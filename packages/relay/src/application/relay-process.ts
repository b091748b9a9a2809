// Runs in the child process or worker thread that `startRelay` has started. Nothing but this file is loaded before
// Node's version is known to do.
import { parentPort, workerData } from 'node:worker_threads'
import { isOldNode, tooOld } from './node-version.ts'
import type { FromRelay, Start, ToRelay } from './protocol.ts'

/** The way to the application. */
export interface Application {
  readonly start: Start
  send(message: FromRelay): void
  /** Nobody is there any more. */
  isGone(): boolean
  /** Null: the application ended without a word. */
  listen(listener: (message: ToRelay | null) => void): void
  /** Resolves when what was sent has left. */
  sent(): Promise<void>
}

/** Messages that wait for an application whose event loop is held; further log lines are left out, counted. */
const MAX_WAITING = 500

function ofChild(): Application {
  let waiting = 0
  let leftOut = 0
  const channel = process as Required<Pick<NodeJS.Process, 'send'>> & NodeJS.Process
  const post = (message: FromRelay): void => {
    if (!process.connected) return
    waiting++
    channel.send(message, undefined, undefined, () => waiting--)
  }
  return {
    start: JSON.parse(process.argv[2] ?? '{}') as Start,
    send: (message) => {
      if (message.type === 'log' && waiting >= MAX_WAITING) {
        leftOut++
        return
      }
      if (leftOut > 0 && waiting < MAX_WAITING) {
        post({ type: 'leftOut', lines: leftOut })
        leftOut = 0
      }
      post(message)
    },
    isGone: () => !process.connected,
    listen: (listener) => {
      process.on('message', (message) => listener(message as ToRelay))
      process.once('disconnect', () => listener(null))
      // It ended before we listened.
      if (!process.connected) listener(null)
    },
    sent: async () => {
      while (waiting > 0 && process.connected) await new Promise(setImmediate)
    },
  }
}

function ofThread(): Application {
  return {
    start: workerData as Start,
    send: (message) => parentPort?.postMessage(message),
    isGone: () => false,
    listen: (listener) => void parentPort?.on('message', listener),
    sent: () => Promise.resolve(),
  }
}

const application = parentPort === null ? ofChild() : ofThread()
// A reader of stderr that went away must not end a relay that delivers.
process.stderr.on('error', () => {})
process.title = parentPort === null ? 'offpath relay' : process.title

let code = 1
try {
  const { node } = process.versions
  if (isOldNode(node)) application.send({ type: 'refused', words: tooOld(node) })
  else {
    const { run } = await import('./run.ts')
    code = await run(application)
  }
} catch (error) {
  const { message, stack } = error as Error
  application.send({ type: 'failed', words: stack ?? message })
}
await application.sent()
const { ended } = application.start
if (ended !== undefined) {
  Atomics.store(ended, 0, 1)
  Atomics.notify(ended, 0)
}
// In a thread it ends the thread alone.
process.exit(code)
