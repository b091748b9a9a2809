import type { SpanHead } from '../store/chunk.ts'
import type { ChunkRow, StoreReader } from '../store/read.ts'
import { markAgain } from '../store/states.ts'
import { namesOf, type Operated, roomFor } from './operated.ts'
import { OperationError, type ReplayRequest } from './requests.ts'
import { Turns } from './turns.ts'
import { Versions } from './versions.ts'

export interface Replayed {
  /** ISO 8601. */
  readonly from: string
  readonly to: string
  readonly dryRun: boolean
  /** How many observations newly wait to be sent again. Those that wait already are not among them. */
  readonly exporters: readonly { readonly name: string; readonly observations: number }[]
  /** Chunks of observations that cannot be read. */
  readonly unreadable: number
}

/** Chunks whose traces are looked at, and observations whose media are forgotten, in one go. */
const CHUNKS = 8
const OBSERVATIONS = 500
const MB = 1024 ** 2

interface Plan {
  readonly chunks: readonly number[]
  readonly unreadable: number
  /** By exporter: spans that will be sent again, and bytes of the chunks that its outbox does not hold yet. */
  readonly exporters: ReadonlyMap<string, { spans: number; bytes: number }>
}

/**
 * Has what ended within a time sent again, whatever became of it before. It is looked through first: what is more than an
 * outbox may hold would be dropped from it at once.
 *
 * @throws OperationError
 */
export async function replay(
  on: Operated,
  reader: StoreReader,
  request: ReplayRequest,
): Promise<Replayed> {
  const { from, to, dryRun } = request
  const exporters = exportersOf(on, request.exporter)
  const versions = new Versions(reader)
  const plan = await planOf(reader, versions, request, exporters)
  for (const [name, { bytes }] of plan.exporters) checkRoom(on, name, bytes)
  const marked = dryRun
    ? new Map([...plan.exporters].map(([name, { spans }]) => [name, spans]))
    : await mark(on, reader, versions, request, plan)
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    dryRun,
    exporters: exporters.map((name) => ({ name, observations: marked.get(name) ?? 0 })),
    unreadable: plan.unreadable,
  }
}

function exportersOf({ store }: Operated, wanted: string | undefined): string[] {
  const names = store.exporterNames()
  if (wanted === undefined && names.length > 0) return names
  if (wanted !== undefined && names.includes(wanted)) return [wanted]
  const which = wanted === undefined ? 'no exporter' : `no exporter ${wanted}`
  throw new OperationError(`${which} is configured; ${namesOf(names)}`)
}

async function planOf(
  reader: StoreReader,
  versions: Versions,
  request: ReplayRequest,
  names: readonly string[],
): Promise<Plan> {
  const exporters = new Map(names.map((name) => [name, { spans: 0, bytes: 0 }]))
  const chunks: number[] = []
  let unreadable = 0
  const add = (chunk: ChunkRow): void => {
    const heads = reader.headsOf(chunk.id)
    if (heads === null) unreadable++
    const chosen = chosenOf(heads ?? [], versions, request)
    if (chosen.length === 0) return
    chunks.push(chunk.id)
    for (const [name, sum] of exporters) {
      const states = reader.statesOf(name, chunk.id)
      sum.spans += markAgain(states, chunk.spans, chosen).marked
      if (states === undefined) sum.bytes += chunk.bytes
    }
  }
  const turns = new Turns()
  for (let after: number | null = 0; after !== null; ) {
    while (!versions.catchUp(turns)) await turns.next()
    const found = reader.chunksEnded(after, request, CHUNKS)
    for (const chunk of found.chunks) {
      if (turns.isOver) await turns.next()
      add(chunk)
    }
    after = found.last
    if (turns.isOver) await turns.next()
  }
  return { chunks, unreadable, exporters }
}

/** Indexes of spans that ended within the time; of one with several versions the newest alone counts. */
function chosenOf(
  heads: readonly SpanHead[],
  versions: Versions,
  { from, to }: ReplayRequest,
): number[] {
  return heads.flatMap((head, index) =>
    head.end >= from && head.end < to && !versions.isOld(head) ? index : [],
  )
}

function checkRoom(on: Operated, exporter: string, bytes: number): void {
  const left = roomFor(on, exporter)
  if (bytes <= left) return
  throw new OperationError(
    `that would be ${Math.ceil(bytes / MB)} MB for ${exporter}, and export.backlog-cap leaves ${Math.floor(left / MB)} MB: ask for a shorter time, or raise it`,
  )
}

/** How many spans newly wait, by exporter. */
async function mark(
  on: Operated,
  reader: StoreReader,
  versions: Versions,
  request: ReplayRequest,
  { chunks, exporters }: Plan,
): Promise<Map<string, number>> {
  const marked = new Map<string, number>()
  const turns = new Turns()
  for (const chunk of chunks) {
    const heads = reader.headsOf(chunk) ?? []
    const { media } = on.store
    const taking = [...exporters.keys()].filter((name) => media.isTaking(name))
    for (let at = 0; at < heads.length && taking.length > 0; at += OBSERVATIONS) {
      const some = heads.slice(at, at + OBSERVATIONS)
      const observations = chosenOf(some, versions, request).map((index) => ({
        traceId: some[index]!.traceId.toString('hex'),
        observationId: some[index]!.spanId.toString('hex'),
      }))
      for (const name of taking) {
        media.forget(name, observations)
        if (turns.isOver) await turns.next()
      }
    }
    while (!versions.catchUp(turns)) await turns.next()
    const chosen = new Map([[chunk, chosenOf(heads, versions, request)]])
    for (const name of exporters.keys()) {
      marked.set(name, (marked.get(name) ?? 0) + on.sendAgain(name, chosen).spans)
    }
    if (turns.isOver) await turns.next()
  }
  return marked
}
