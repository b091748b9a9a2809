// Runs in the child process or worker thread that `startRelay` has started. Nothing but this file is loaded before
// Node's version is known to do.
import { setTimeout as delay } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { isOldNode, tooOld } from './node-version.ts'
import type { Application, FromRelay, Start, ToRelay } from './protocol.ts'

/** Messages that wait for an application whose event loop is held; further log lines are left out, counted. */
const MAX_WAITING = 500
/** An application that waits for our end takes nothing, and the channel may be full. */
const SENT_MS = 2000
const LOOK_MS = 5

function limited(
  post: (message: FromRelay) => void,
  waiting: () => number,
): (message: FromRelay) => void {
  let leftOut = 0
  return (message) => {
    if (message.type === 'log' && waiting() >= MAX_WAITING) {
      leftOut++
      return
    }
    if (leftOut > 0 && waiting() < MAX_WAITING) {
      post({ type: 'leftOut', lines: leftOut })
      leftOut = 0
    }
    post(message)
  }
}

function ofChild(): Application {
  let waiting = 0
  const channel = process as Required<Pick<NodeJS.Process, 'send'>> & NodeJS.Process
  const post = (message: FromRelay): void => {
    if (!process.connected) return
    waiting++
    channel.send(message, undefined, undefined, () => waiting--)
  }
  return {
    start: JSON.parse(process.argv[2] ?? '{}') as Start,
    send: limited(post, () => waiting),
    isGone: () => !process.connected,
    listen: (listener) => {
      process.on('message', (message) => listener(message as ToRelay))
      process.once('disconnect', () => listener(null))
      // It ended before we listened.
      if (!process.connected) listener(null)
    },
    sent: async () => {
      const until = performance.now() + SENT_MS
      while (waiting > 0 && process.connected && performance.now() < until) await delay(LOOK_MS)
    },
  }
}

function ofThread(): Application {
  const start = workerData as Required<Start>
  const { waiting } = start.shared
  const post = (message: FromRelay): void => {
    Atomics.add(waiting, 0, 1)
    parentPort?.postMessage(message)
  }
  return {
    start,
    send: limited(post, () => Atomics.load(waiting, 0)),
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
const { shared } = application.start
if (shared !== undefined) {
  Atomics.store(shared.ended, 0, 1)
  Atomics.notify(shared.ended, 0)
}
// In a thread it ends the thread alone.
process.exit(code)
