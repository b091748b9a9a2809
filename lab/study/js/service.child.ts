// A chat service under measurement: `node service.child.ts '<a ServiceRequest as JSON>'`; see ../service.ts. Workers of one
// service listen on the same port, and the system deals out connections.
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceAnswer, ServiceRequest } from '../service.ts'
import { createApp } from './app.ts'
import { attach } from './attached/attached.ts'
import { Meter } from './meter.ts'
import { startProfile } from './profile.ts'
import type { Settings } from './settings.ts'
import { Account } from './split.ts'
import { openTracer } from './tracers/open.ts'
import { connectModel } from './upstream.ts'

/** A flush that takes longer is given up. */
const PATIENCE_MS = 90_000

const request = JSON.parse(process.argv.at(-1) as string) as ServiceRequest
const settings = request.settings as Settings
// Starting it holds the loop for a while: before anything is measured.
const profile = request.profile === undefined ? undefined : startProfile()

const tracer = await openTracer(settings, request)
const attached = await attach(settings, tracer, request.sink)
const counts = { requests: 0, recorded: 0 }
const account = new Account()
const meter = new Meter(tracer.usageOfChildren)
const model = connectModel(request.upstream)
const app = createApp(settings, tracer, attached, model, account, counts)
// Fastify hands the options to the server as they are; its types know no reusePort.
const listening = { host: '127.0.0.1', port: request.port, reusePort: true }
await app.listen(listening)
say({ port: (app.server.address() as AddressInfo).port, pid: process.pid })

let flushMs = 0
let isFlushGivenUp = false
for await (const line of createInterface({ input: process.stdin })) {
  say(await answer(line))
  if (line === 'end') break
}
process.exit()

async function answer(command: string): Promise<ServiceAnswer | object> {
  switch (command) {
    case 'flush':
      await flush()
      return { recorded: counts.recorded }
    case 'begin':
      counts.requests = counts.recorded = 0
      account.begin()
      await meter.begin()
      return {}
    case 'loaded':
      await meter.loaded()
      await profile?.write(request.profile as string, meter.beganAt, meter.loadedAt)
      return {}
    case 'end':
      return {
        ...(await meter.figures(counts.requests)),
        recorded: counts.recorded,
        flushMs,
        isFlushGivenUp,
        split: account.figures(),
      } satisfies ServiceAnswer
    default:
      throw new Error(`no command ${command}`)
  }
}

async function flush(): Promise<void> {
  const began = performance.now()
  const late = Symbol()
  try {
    const first = await Promise.race([tracer.flush(), delay(PATIENCE_MS, late, { ref: false })])
    isFlushGivenUp = first === late
    if (isFlushGivenUp) console.error(`a flush was given up after ${PATIENCE_MS} ms`)
  } catch (error) {
    // A batch that was lost: the count of what was delivered will tell.
    console.error(`a flush failed: ${(error as Error).message}`)
  }
  flushMs = performance.now() - began
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
