// Dead letters of a pool, as those of a store are listed, shown, sent again and dropped: they lie in a stream of Redis. It may
// have gigabytes, so it is read a few at a time. Whether relays of the pool run does not matter: what is sent again is an
// entry of the stream that it came from, for the exporter that rejected it.
import { observationsOf, type TraceBounds } from '../http/answers.ts'
import type {
  DeadLetter,
  DeadLetterList,
  Json,
  Observation,
  WholeDeadLetter,
} from '../http/shapes.ts'
import { itemsOf, mapOf, textOf } from '../receivers/redis/group.ts'
import type { Argument, RedisConnection, Reply } from '../redis/connection.ts'
import { LETTER_FIELDS } from '../redis/dead-letters.ts'
import { measureEntry, readEntry } from '../redis/entry.ts'
import { scoreOf } from '../redis/score-entry.ts'
import { deadStreamOf, FIELDS, scoreStreamOf } from '../redis/streams.ts'
import { allocateChunk } from '../store/chunk.ts'
import type { DeadFilter } from '../store/dead-letters.ts'
import type { Part } from '../store/span.ts'
import type { Dropped, Retried } from './dead.ts'
import { namesOf } from './operated.ts'
import { OperationError } from './requests.ts'

export interface PoolDeadOptions {
  readonly connection: RedisConnection
  /** redis.stream */
  readonly stream: string
  /** redis.max-length */
  readonly maxLength: number
  /** Exporters that may have dead letters though no group of Redis has their name. */
  readonly exporters: readonly string[]
}

/** Which dead letters: by their ids, or all that a filter chooses. */
export type PoolSelection =
  | { readonly ids: readonly string[] }
  | ({ readonly all: true } & DeadFilter)

/** As of a store; of those that are `gone` the first ones, and why. */
export interface PoolRetried extends Retried {
  readonly refused: readonly { readonly id: string; readonly reason: string }[]
}

type Bounds = Pick<TraceBounds, 'valueBytes' | 'totalBytes'>

/** A dead letter as it lies in the stream. */
interface Letter extends DeadLetter {
  readonly key: string
  readonly stream: string
  /** Fields of the entry that it would be. */
  readonly version: string
  readonly project: string | undefined
  readonly content: typeof FIELDS.spans | typeof FIELDS.scores
  readonly bytes: Buffer
  readonly isCut: boolean
}

/** Each has up to 512 KB. */
const PAGE = 16
const TOLD_REFUSED = 100
const ID = /^(span|score|entry):(\d{1,20}-\d{1,20})$/

/** Whether a text names a dead letter of a pool: `span:1764260000000-0`. */
export function isPoolId(text: string): boolean {
  return ID.test(text)
}

export class PoolDead {
  readonly #options: PoolDeadOptions
  readonly #stream: string
  /** Names of groups, by stream. */
  readonly #groups = new Map<string, readonly string[]>()

  constructor(options: PoolDeadOptions) {
    this.#options = options
    this.#stream = deadStreamOf(options.stream)
  }

  /** Newest first. With a filter all have to be looked at. @throws SendError, OperationError */
  async list(filter: DeadFilter, limit: number): Promise<DeadLetterList> {
    const chooses = filter.exporter !== undefined || filter.reason !== undefined
    const deadLetters: DeadLetter[] = []
    let total = 0
    for await (const letter of this.#newest()) {
      if (!isChosen(letter, filter)) continue
      total++
      if (deadLetters.length < limit) deadLetters.push(shapeOf(letter))
      else if (!chooses) break
    }
    if (total === 0) await this.#check(filter)
    return { deadLetters, total: chooses ? total : Number(await this.#call(['XLEN'])) }
  }

  /** @throws SendError */
  async get(id: string, bounds: Bounds): Promise<WholeDeadLetter | undefined> {
    const letter = await this.#letter(id)
    return letter && wholeOf(letter, bounds)
  }

  /** In the order in which they came, those that are there now. @throws SendError, OperationError */
  async *all(filter: DeadFilter, bounds: Bounds): AsyncGenerator<WholeDeadLetter> {
    for await (const letter of this.#chosen({ all: true, ...filter }, [])) {
      yield wholeOf(letter, bounds)
    }
  }

  /**
   * Has them sent again: each is added to its stream, for its exporter alone, then it is taken off the list. What ends in
   * between leaves it there too.
   *
   * @throws SendError, OperationError
   */
  async retry(which: PoolSelection): Promise<PoolRetried> {
    const unknown: string[] = []
    const refused: { id: string; reason: string }[] = []
    const done = { retried: 0, superseded: 0, notConfigured: 0, gone: 0, noRoom: 0 }
    for await (const letter of this.#chosen(which, unknown)) {
      const why = whyNot(letter)
      if (why !== null) {
        done.gone++
        if (refused.length < TOLD_REFUSED) refused.push({ id: letter.id, reason: why })
      } else if (!(await this.#hasGroup(letter))) done.notConfigured++
      else if (!(await this.#hasRoom(letter))) done.noRoom++
      else {
        await this.#options.connection.call(letter.stream, entryOf(letter))
        await this.#call(['XDEL'], [letter.key])
        done.retried++
      }
    }
    return { ...done, unknown, refused }
  }

  /** Takes them off the list for good. @throws SendError, OperationError */
  async drop(which: PoolSelection): Promise<Dropped> {
    const unknown: string[] = []
    let dropped = 0
    for await (const { key } of this.#chosen(which, unknown)) {
      dropped += Number(await this.#call(['XDEL'], [key]))
    }
    return { dropped, unknown }
  }

  async *#chosen(which: PoolSelection, unknown: string[]): AsyncGenerator<Letter> {
    if ('ids' in which) {
      for (const id of which.ids) {
        const letter = await this.#letter(id)
        if (letter === undefined) unknown.push(id)
        else yield letter
      }
      return
    }
    let any = false
    for await (const letter of this.#oldest()) {
      if (!isChosen(letter, which)) continue
      any = true
      yield letter
    }
    if (!any) await this.#check(which)
  }

  async #letter(id: string): Promise<Letter | undefined> {
    const key = ID.exec(id)?.[2]
    if (key === undefined) return undefined
    const [letter] = this.#lettersOf(await this.#call(['XRANGE'], [key, key]))
    return letter?.id === id ? letter : undefined
  }

  /** What is rejected again meanwhile is not among them. */
  async *#oldest(): AsyncGenerator<Letter> {
    const [last] = itemsOf(await this.#call(['XREVRANGE'], ['+', '-', 'COUNT', '1']))
    const to = textOf(itemsOf(last)[0])
    if (to === '') return
    for (let from = '-'; ; ) {
      const letters = this.#lettersOf(
        await this.#call(['XRANGE'], [from, to, 'COUNT', String(PAGE)]),
      )
      yield* letters
      const end = letters.at(-1)
      if (end === undefined || letters.length < PAGE) return
      from = `(${end.key}`
    }
  }

  async *#newest(): AsyncGenerator<Letter> {
    for (let from = '+'; ; ) {
      const args = [from, '-', 'COUNT', String(PAGE)]
      const letters = this.#lettersOf(await this.#call(['XREVRANGE'], args))
      yield* letters
      const end = letters.at(-1)
      if (end === undefined || letters.length < PAGE) return
      from = `(${end.key}`
    }
  }

  #lettersOf(reply: Reply): Letter[] {
    return itemsOf(reply).map((item) => {
      const [key, fields] = itemsOf(item)
      return letterOf(textOf(key), mapOf(fields ?? null))
    })
  }

  #call([name]: readonly [string], args: readonly string[] = []): Promise<Reply> {
    return this.#options.connection.call(this.#stream, [name, this.#stream, ...args])
  }

  /** Without its group nobody would deliver it, and it might be trimmed. What is no stream of the pool is none of ours. */
  async #hasGroup({ stream, exporter }: Letter): Promise<boolean> {
    const base = this.#options.stream
    const partition =
      stream.startsWith(`${base}:{`) && /^\{\d{1,6}\}$/.test(stream.slice(base.length + 1))
    if (!partition && stream !== scoreStreamOf(base)) return false
    return (await this.#groupsOf(stream)).includes(exporter)
  }

  async #groupsOf(stream: string): Promise<readonly string[]> {
    const known = this.#groups.get(stream)
    if (known !== undefined) return known
    const groups = await this.#askGroups(stream)
    this.#groups.set(stream, groups)
    return groups
  }

  async #askGroups(stream: string): Promise<string[]> {
    try {
      const reply = await this.#options.connection.call(stream, ['XINFO', 'GROUPS', stream])
      return itemsOf(reply).map((group) => textOf(mapOf(group).get('name')))
    } catch (error) {
      if (!/no such key/.test((error as Error).message)) throw error
      return []
    }
  }

  async #hasRoom({ stream }: Letter): Promise<boolean> {
    const { connection, maxLength } = this.#options
    return Number(await connection.call(stream, ['XLEN', stream])) < maxLength
  }

  /** Nothing was found: is there such an exporter at all? */
  async #check({ exporter }: DeadFilter): Promise<void> {
    if (exporter === undefined) return
    const { stream, exporters } = this.#options
    const of = await this.#groupsOf(`${stream}:{0}`)
    const names = [...new Set([...exporters, ...of])]
    if (names.includes(exporter)) return
    throw new OperationError(`the pool knows no exporter ${exporter}; ${namesOf(names)}`)
  }
}

function isChosen({ exporter, reason }: Letter, filter: DeadFilter): boolean {
  return (
    (filter.exporter === undefined || filter.exporter === exporter) &&
    (filter.reason === undefined || reason.includes(filter.reason))
  )
}

function letterOf(key: string, fields: ReadonlyMap<string, Reply>): Letter {
  const given = (name: string): string | undefined => {
    const value = fields.get(name)
    return value === undefined ? undefined : textOf(value)
  }
  const content = fields.has(FIELDS.scores) ? FIELDS.scores : FIELDS.spans
  const name = given(LETTER_FIELDS.name)
  const isScore = content === FIELDS.scores
  const what = name === undefined ? 'entry' : isScore ? 'score' : 'span'
  const stream = given(LETTER_FIELDS.stream) ?? ''
  const bytes = fields.get(content)
  return {
    id: `${what}:${key}`,
    key,
    what,
    exporter: given(LETTER_FIELDS.exporter) ?? '',
    time: timeOf(given(LETTER_FIELDS.time), key),
    reason: given(LETTER_FIELDS.reason) ?? '',
    traceId: given(LETTER_FIELDS.trace) ?? null,
    observationId: given(LETTER_FIELDS.span) ?? null,
    name: name ?? `entry ${given(LETTER_FIELDS.entry) ?? ''} of ${stream}`,
    stream,
    version: given(FIELDS.version) ?? '',
    project: given(FIELDS.project),
    content,
    bytes: Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0),
    isCut: fields.has(LETTER_FIELDS.cut),
  }
}

/** ISO 8601: when it was written, or by its id when it does not say so. */
function timeOf(said: string | undefined, key: string): string {
  for (const ms of [Date.parse(said ?? ''), Number(key.slice(0, key.indexOf('-')))]) {
    const date = new Date(ms)
    if (!Number.isNaN(date.getTime())) return date.toISOString()
  }
  return new Date(0).toISOString()
}

function shapeOf(letter: Letter): DeadLetter {
  const { id, what, exporter, time, reason, traceId, observationId, name } = letter
  return { id, what, exporter, time, reason, traceId, observationId, name }
}

function wholeOf(letter: Letter, bounds: Bounds): WholeDeadLetter {
  const whole = { ...shapeOf(letter), observation: null, score: null, media: null }
  switch (letter.what) {
    case 'score':
      return { ...whole, score: scoreOf(letter.bytes) as { [key: string]: Json } | null }
    case 'span':
      return { ...whole, observation: observationsIn(letter, bounds)[0] ?? null }
    default:
      return { ...whole, observations: observationsIn(letter, bounds) }
  }
}

/** None when the entry is no good, which may be why it is here. */
function observationsIn({ bytes: given, content }: Letter, bounds: Bounds): Observation[] {
  if (content === FIELDS.scores) return []
  const bytes = allocateChunk(given.length)
  given.copy(bytes)
  try {
    return observationsOf({ text: inlineText }, readEntry(bytes, measureEntry(bytes)), bounds)
  } catch {
    return []
  }
}

/** In an entry nothing lies elsewhere. */
function inlineText(parts: readonly Part[], maxBytes: number): string {
  const pieces: Buffer[] = []
  let left = maxBytes
  for (const part of parts as readonly Buffer[]) {
    if (left <= 0) break
    pieces.push(part.subarray(0, left))
    left -= part.length
  }
  return Buffer.concat(pieces).toString()
}

/** Why it cannot be sent again; null: it can. */
function whyNot({ bytes, isCut, reason }: Letter): string | null {
  if (bytes.length === 0) return `its content was not kept: ${reason}`
  return isCut ? `its longest values were cut: ${reason}` : null
}

function entryOf({ stream, exporter, version, project, content, bytes }: Letter): Argument[] {
  const named = project === undefined ? [] : [FIELDS.project, project]
  const about = [FIELDS.version, version, ...named, FIELDS.only, exporter]
  return ['XADD', stream, '*', ...about, content, bytes]
}
