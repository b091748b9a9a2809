// An application for start-relay.test.ts: it starts a relay with the options of its argument, and does what lines of its
// stdin say, answering each with a line.
import cluster from 'node:cluster'
import { createInterface } from 'node:readline'
import { shutdown, startObservation } from '@offpath/sdk'
import { startRelay } from 'offpath'

const { onLog: logs, workers, ...options } = JSON.parse(process.argv[2] ?? '{}')

if (workers !== undefined && cluster.isPrimary) {
  // Each worker's answers pass through us; the first word of a line is the number of the worker it is for.
  const forks = Array.from({ length: workers }, () => cluster.fork())
  forks.forEach((fork, i) => {
    fork.on('message', (answer) => process.stdout.write(`${JSON.stringify([i, answer])}\n`))
  })
  for await (const line of createInterface(process.stdin)) {
    const [i, ...call] = JSON.parse(line)
    forks[i]?.send(call)
  }
  for (const fork of forks) fork.disconnect()
} else {
  const lines: string[] = []
  const onLog = (level: string, line: string): void => void lines.push(`${level} ${line}`)
  const before = performance.now()
  const relay = startRelay(logs === true ? { ...options, onLog } : options)
  const tookMs = performance.now() - before
  const calls: Record<string, (argument: never) => unknown> = {
    tookMs: () => tookMs,
    status: () => relay.status(),
    ready: () => relay.ready({ timeoutMs: 40_000 }),
    lines: () => lines,
    record: (name: string) => void startObservation(name).end(),
    open: (name: string) => void startObservation(name),
    shutdown: () => shutdown(),
    flush: (timeoutMs: number) => relay.flush({ timeoutMs }),
    startsWhileStopping: () => {
      const stopped = relay.stop()
      startRelay(options)
      return stopped
    },
    chdir: (directory: string) => process.chdir(directory),
    stop: (drainMs?: number) => relay.stop(drainMs === undefined ? {} : { drainMs }),
    recordAndExit: (name: string) => {
      startObservation(name).end()
      process.exit(7)
    },
  }
  const answer = async ([name, argument]: [string, never]): Promise<unknown> =>
    (await calls[name]?.(argument)) ?? null
  if (cluster.isWorker) {
    process.on('message', async (call: [string, never]) => process.send?.(await answer(call)))
  } else {
    for await (const line of createInterface(process.stdin)) {
      process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`)
    }
  }
}
