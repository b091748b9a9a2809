import { cutMedia } from '../export/media.ts'
import {
  DEAD_KINDS,
  type DeadLetters,
  type DeadMedia,
  type DeadRow,
  type DeadScore,
  type DeadSpan,
  deadId,
} from '../store/dead-letters.ts'
import type { StoreReader } from '../store/read.ts'
import type { StoredSpan } from '../store/span.ts'
import { checkExporter, type Operated, roomFor } from './operated.ts'
import type { DeadSelection } from './requests.ts'
import { Turns } from './turns.ts'
import { Versions } from './versions.ts'

/** Dead letters that are read at once. */
const SLICE = 500

export interface Retried {
  /** They wait to be sent again. */
  readonly retried: number
  /** Taken off the list without: a newer version of the observation is stored. */
  readonly superseded: number
  /** They stay on the list: their exporter is not configured now, or takes none such. */
  readonly notConfigured: number
  /** They stay on the list: the observation has expired or cannot be read, and with it what was rejected. */
  readonly gone: number
  /** They stay on the list: the backlog of their exporter has no room for them now. */
  readonly noRoom: number
  /** No dead letters have these ids. */
  readonly unknown: readonly string[]
}

export interface Dropped {
  readonly dropped: number
  readonly unknown: readonly string[]
}

/** Takes dead letters off the list and has them sent again. What is rejected again comes back, under another id. */
export async function retryDead(
  on: Operated,
  reader: StoreReader,
  which: DeadSelection,
): Promise<Retried> {
  const unknown: string[] = []
  const done = { retried: 0, superseded: 0, notConfigured: 0, gone: 0, noRoom: 0, unknown }
  const versions = new Versions(reader)
  const turns = new Turns()

  const spans = async (exporter: string, letters: readonly DeadSpan[]): Promise<void> => {
    const left = [...Map.groupBy(letters, (letter) => letter.chunk)]
    while (left.length > 0) {
      while (!versions.catchUp(turns)) await turns.next()
      left.splice(0, ofOneTurn(exporter, left))
      await turns.next()
    }
  }

  /** Returns of how many chunks it has taken the letters. */
  const ofOneTurn = (
    exporter: string,
    letters: readonly (readonly [number, readonly DeadSpan[]])[],
  ): number => {
    let room = roomFor(on, exporter)
    let taken = 0
    const chosen = new Map<number, number[]>()
    const old: number[] = []
    for (const [chunk, ofChunk] of letters) {
      if (taken > 0 && turns.isOver) break
      taken++
      const heads = reader.headsOf(chunk) ?? []
      const fresh: number[] = []
      for (const letter of ofChunk) {
        const { id, index } = letter
        const head = heads[index]
        // Somebody else had them sent again, or dropped them, in a turn between.
        if (reader.dead.get(letter) === undefined) unknown.push(deadId(letter))
        else if (head === undefined) done.gone++
        else if (versions.isOld(head)) old.push(id)
        else fresh.push(index)
      }
      if (fresh.length === 0) continue
      // A chunk takes the same room whether one span of it waits or all.
      const isHeld = reader.statesOf(exporter, chunk) !== undefined
      const bytes = isHeld ? 0 : reader.expandedBytes(chunk)
      if (bytes > room) {
        done.noRoom += fresh.length
        continue
      }
      room -= bytes
      chosen.set(chunk, fresh)
    }
    done.superseded += on.store.dropDeadLetters(exporter, old)
    done.retried += on.sendAgain(exporter, chosen).spans
    return taken
  }

  const scores = (exporter: string, letters: readonly DeadScore[]): void => {
    const ids = letters.map(({ id }) => id)
    done.retried += on.store.scores.retry(exporter, ids)
  }

  const media = async (exporter: string, letters: readonly DeadMedia[]): Promise<void> => {
    for (const [trace, ofTrace] of Map.groupBy(letters, (letter) => letter.traceId)) {
      const left = Map.groupBy(ofTrace, (letter) => letter.observationId)
      for (const stored of reader.chunksOf(trace)) {
        for (const span of stored) {
          const observation = span.spanId.toString('hex')
          const ofSpan = left.get(observation)
          if (ofSpan === undefined) continue
          const found = contentsOf(span, ofSpan, on)
          const rest = ofSpan.filter((letter) => !found.has(letter))
          if (rest.length > 0) left.set(observation, rest)
          else left.delete(observation)
          for (const [{ id }, content] of found) {
            if (turns.isOver) await turns.next()
            if (on.store.media.retry(exporter, id, content)) done.retried++
            else done.gone++
          }
        }
        if (left.size === 0) break
        if (turns.isOver) await turns.next()
      }
      for (const { length } of left.values()) done.gone += length
      if (turns.isOver) await turns.next()
    }
  }

  for (const rows of slices(reader.dead, which, unknown)) {
    for (const [exporter, letters] of Map.groupBy(rows, (row) => row.exporter)) {
      const { store } = on
      const taken = letters.filter(({ what }) => {
        if (what === 'span') return store.exporterNames().includes(exporter)
        return store[what === 'score' ? 'scores' : 'media'].isTaking(exporter)
      })
      done.notConfigured += letters.length - taken.length
      const ofSpans = taken.filter((row) => row.what === 'span')
      await spans(exporter, ofSpans)
      const ofScores = taken.filter((row) => row.what === 'score')
      if (ofScores.length > 0) scores(exporter, ofScores)
      await media(
        exporter,
        taken.filter((row) => row.what === 'media'),
      )
    }
    on.wake()
    await turns.next()
  }
  return done
}

/** Takes dead letters off the list for good, counted. */
export async function dropDead(
  on: Operated,
  reader: StoreReader,
  which: DeadSelection,
): Promise<Dropped> {
  const { store } = on
  const turns = new Turns()
  const unknown: string[] = []
  let dropped = 0
  for (const rows of slices(reader.dead, which, unknown)) {
    for (const [exporter, letters] of Map.groupBy(rows, (row) => row.exporter)) {
      const ids = (kind: DeadRow['what']): number[] =>
        letters.filter(({ what }) => what === kind).map(({ id }) => id)
      dropped += store.dropDeadLetters(exporter, ids('span'))
      dropped += store.scores.dropDead(exporter, ids('score'))
      dropped += store.media.dropDead(exporter, ids('media'))
    }
    await turns.next()
  }
  return { dropped, unknown }
}

/** The dead letters of a selection; ids without any are added to `unknown`. */
function* slices(dead: DeadLetters, which: DeadSelection, unknown: string[]): Iterable<DeadRow[]> {
  if (which.keys !== null) {
    const { keys } = which
    for (let at = 0; at < keys.length; at += SLICE) {
      yield keys.slice(at, at + SLICE).flatMap((key) => {
        const row = dead.get(key)
        if (row === undefined) unknown.push(deadId(key))
        return row ?? []
      })
    }
    return
  }
  checkExporter(dead, which.exporter)
  for (const kind of DEAD_KINDS) {
    // Only what is there now: what is rejected again meanwhile is not sent for ever.
    const last = dead.last(kind)
    for (let after = 0; ; ) {
      const rows = dead.range(kind, which, after, last, SLICE)
      if (rows.length === 0) break
      yield rows
      after = rows.at(-1)!.id
    }
  }
}

/** What was rejected, from a version of its observation: content is not kept apart from it. */
function contentsOf(
  span: StoredSpan,
  letters: readonly DeadMedia[],
  { store }: Operated,
): Map<DeadMedia, ReturnType<typeof cutMedia>['media'][number]> {
  const { media } = cutMedia(span, (parts, into, at) => store.loadParts(parts, into, at))
  const found = new Map<DeadMedia, (typeof media)[number]>()
  for (const letter of letters) {
    const one = media.find(
      ({ sha256, field }) => sha256 === letter.sha256 && field === letter.field,
    )
    if (one !== undefined) found.set(letter, one)
  }
  return found
}
