import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FIELD, OBSERVATION_TYPES } from '@offpath/sdk/spool-format'
import { SpoolReceiver } from '../../packages/relay/src/receivers/spool/receiver.ts'
import type { StoredSpan, Value } from '../../packages/relay/src/store/span.ts'
import { Store } from '../../packages/relay/src/store/store.ts'

const FIELD_NAMES = new Map<number, string>(
  Object.entries(FIELD).map(([name, number]) => [number, name]),
)

/** What a segment holds: its spans and scores as plain JSON, and the counters that are not zero and say what was read. */
export interface Content {
  readonly spans: readonly object[]
  /** As Langfuse's API has them, by project; left out where there are none. */
  readonly scores?: Readonly<Record<string, readonly object[]>>
  readonly counters: Readonly<Record<string, number>>
}

/** Reads a segment's bytes with the relay, as a file of a writer that is taken for dead. */
export function readSegment(bytes: Buffer): Content {
  const directory = mkdtempSync(join(tmpdir(), 'offpath-vector-'))
  const store = new Store(join(directory, 'store'))
  store.exporters(['vectors'], ['vectors'])
  const directories = [join(directory, 'spool'), join(directory, 'disk')]
  // Its writer's heartbeat is overdue at the second poll.
  let time = 0
  const now = () => (time += 2_000_000)
  const receiver = new SpoolReceiver({
    directories,
    store,
    now,
    paused: () => false,
    log: () => {},
  })
  try {
    writeFileSync(join(directories[0] as string, '00000000000000aa-00000001.seg'), bytes, {
      mode: 0o600,
    })
    for (let round = 0; round < 4; round++) receiver.poll()
    const spans = store
      .nextChunks('vectors', 0, Number.POSITIVE_INFINITY)
      .flatMap((chunk) => store.readSpans(chunk).map((span) => plain(store, span)))
    const projects = store.scores.projects('vectors')
    const scores = projects.map((project) => [project, scoresOf(store, project)])
    const content = { spans, counters: countersOf(store) }
    return projects.length === 0 ? content : { ...content, scores: Object.fromEntries(scores) }
  } finally {
    receiver.stop()
    store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

function scoresOf(store: Store, project: string): object[] {
  const all = { count: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY }
  const held = store.scores.next('vectors', project, 0, new Set(), all)
  return held.map(({ json }) => JSON.parse(json))
}

function plain(store: Store, span: StoredSpan): object {
  const fields: Record<string, unknown> = {}
  for (const { field, key, value } of span.fields) {
    const fieldName = FIELD_NAMES.get(field) ?? String(field)
    fields[key === undefined ? fieldName : `${fieldName}.${key}`] = plainValue(store, value)
  }
  return {
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentSpanId: span.parentSpanId?.toString('hex') ?? null,
    name: span.name,
    type: OBSERVATION_TYPES[span.type],
    startTime: nanos(span.startSeconds, span.startNanos),
    endTime: nanos(span.endSeconds, span.endNanos),
    interrupted: span.interrupted,
    fields,
  }
}

function plainValue(store: Store, value: Value): unknown {
  if (value.type === 'strings') return value.values
  if (value.type !== 'text' && value.type !== 'json') return value.value
  const bytes = Buffer.alloc(value.length)
  store.loadParts(value.parts, bytes, 0)
  return value.type === 'text' ? bytes.toString() : { json: JSON.parse(bytes.toString()) }
}

function nanos(seconds: number, nanoseconds: number): string {
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds))
}

/** How many bytes were read and how many spans are stored is said by the segment and by the spans. */
function countersOf(store: Store): Record<string, number> {
  const { readBytes: _bytes, stored: _stored, ...counters } = store.counters()
  return counters
}
