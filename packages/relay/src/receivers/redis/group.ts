import type { RedisConnection, Reply } from '../../redis/connection.ts'
import { FIELDS } from '../../redis/streams.ts'

/** A consumer group: all relays that deliver for the exporter of its name. */
export interface Group {
  readonly connection: RedisConnection
  readonly streams: readonly string[]
  readonly name: string
  /** This process in it. */
  readonly consumer: string
}

export interface StreamEntry {
  readonly id: string
  /** Its spans or scores; null: it has none, whatever else it has. */
  readonly bytes: Buffer | null
  /** Version of their format. */
  readonly version?: string
  /** Of scores. */
  readonly project?: string
  /** The only exporter that it is for. */
  readonly only?: string
}

/** Entries of a reply [[id, [field, value …]] …]; those that were deleted are left out. */
export function entriesOf(reply: Reply): StreamEntry[] {
  return itemsOf(reply).flatMap((item) => {
    const [id, fields] = itemsOf(item)
    if (id === undefined || fields === undefined || fields === null) return []
    const map = mapOf(fields)
    const bytes = map.get(FIELDS.spans) ?? map.get(FIELDS.scores)
    return [
      {
        id: textOf(id),
        bytes: Buffer.isBuffer(bytes) ? bytes : null,
        version: textOf(map.get(FIELDS.version)),
        ...textIn(map, FIELDS.project, 'project'),
        ...textIn(map, FIELDS.only, 'only'),
      },
    ]
  })
}

function textIn<N extends string>(
  map: ReadonlyMap<string, Reply>,
  field: string,
  name: N,
): { readonly [key in N]?: string } {
  const value = map.get(field)
  return value === undefined ? {} : ({ [name]: textOf(value) } as { [key in N]: string })
}

export function itemsOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? reply : []
}

export function textOf(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString() : String(reply ?? '')
}

/** A reply [key, value, key, value …]. */
export function mapOf(reply: Reply): Map<string, Reply> {
  const map = new Map<string, Reply>()
  const items = itemsOf(reply)
  for (let i = 0; i + 1 < items.length; i += 2) map.set(textOf(items[i]), items[i + 1] as Reply)
  return map
}

/**
 * Makes the group, and the stream, where they are not there: from the stream's first entry on. What went before counts as
 * read, so that it is seen when more goes before it is read.
 */
export async function createGroup({ connection, name }: Group, stream: string): Promise<void> {
  const gone = await goneOf(connection, stream)
  const from = ['0', 'MKSTREAM', 'ENTRIESREAD', String(gone)]
  try {
    await connection.call(stream, ['XGROUP', 'CREATE', stream, name, ...from])
  } catch (error) {
    if (!(error as Error).message.startsWith('BUSYGROUP')) throw error
  }
}

/** Entries that were added to a stream and are not in it any more. */
export async function goneOf(connection: RedisConnection, stream: string): Promise<number> {
  try {
    const info = mapOf(await connection.call(stream, ['XINFO', 'STREAM', stream]))
    return Number(info.get('entries-added') ?? 0) - Number(info.get('length') ?? 0)
  } catch (error) {
    if (!/no such key/.test((error as Error).message)) throw error
    return 0
  }
}

export interface Pending {
  readonly id: string
  readonly idleMs: number
  /** How often it was delivered. */
  readonly deliveries: number
}

/** Entries of a stream that the group was given and has not acknowledged, in order: of all ids, or consumers, or of some. */
export async function pendingOf(
  { connection, name }: Group,
  stream: string,
  about: {
    readonly idleMs: number
    readonly count: number
    /** An id, or `(id`: the first one behind it. */
    readonly from?: string
    readonly to?: string
    readonly consumer?: string
  },
): Promise<Pending[]> {
  const { idleMs, count, from = '-', to = '+', consumer } = about
  const reply = await connection.call(stream, [
    'XPENDING',
    stream,
    name,
    'IDLE',
    String(idleMs),
    from,
    to,
    String(count),
    ...(consumer === undefined ? [] : [consumer]),
  ])
  return itemsOf(reply).map((item) => {
    const [id, , idle, deliveries] = itemsOf(item)
    return { id: textOf(id), idleMs: Number(idle), deliveries: Number(deliveries) }
  })
}
