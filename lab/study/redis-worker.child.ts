// Takes what a service has pushed to the list `lab` and delivers it as OTLP: `node redis-worker.child.ts
// '{"url":…,"sink":…}'`. An entry is a PushedRequest as JSON. Sent "usage", it answers with its CPU so far, µs.
import { createClient } from 'redis'

/** What a service does by hand: a request's observations in one JSON. */
export interface PushedRequest {
  readonly observations: readonly PushedObservation[]
}

interface PushedObservation {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** Nanoseconds since 1970. */
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: Readonly<Record<string, unknown>>
}

const { url, sink } = JSON.parse(process.argv[2] as string) as { url: string; sink: string }
const BATCH = 50

process.once('disconnect', () => process.exit())
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.(user + system)
})
const client = createClient({ url })
await client.connect()
process.send?.('ready')

for (;;) {
  const first = await client.brPop('lab', 0)
  if (first === null) continue
  const more = (await client.rPopCount('lab', BATCH - 1)) ?? []
  const spans = [first.element, ...more].flatMap((entry) =>
    (JSON.parse(entry) as PushedRequest).observations.map(({ attributes, ...span }) => ({
      ...span,
      attributes: Object.entries(attributes).map(([key, value]) => ({
        key,
        value: { stringValue: typeof value === 'string' ? value : JSON.stringify(value) },
      })),
    })),
  )
  const body = {
    resourceSpans: [{ resource: {}, scopeSpans: [{ scope: { name: 'lab' }, spans }] }],
  }
  const response = await fetch(`${sink}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) console.error(`the worker's batch got ${response.status}`)
}
