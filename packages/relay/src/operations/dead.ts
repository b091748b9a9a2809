import { setImmediate as turn } from 'node:timers/promises'
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
import { Versions } from './versions.ts'

/** Between slices others have their turn. */
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

  const spans = (exporter: string, letters: readonly DeadSpan[]): void => {
    versions.catchUp()
    let room = roomFor(on, exporter)
    const chosen = new Map<number, number[]>()
    const old: number[] = []
    for (const [chunk, ofChunk] of Map.groupBy(letters, (letter) => letter.chunk)) {
      const heads = reader.headsOf(chunk) ?? []
      const fresh: number[] = []
      for (const { id, index } of ofChunk) {
        const head = heads[index]
        if (head === undefined) done.gone++
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
  }

  const scores = (exporter: string, letters: readonly DeadScore[]): void => {
    const ids = letters.map(({ id }) => id)
    done.retried += on.store.scores.retry(exporter, ids)
  }

  const media = async (exporter: string, letters: readonly DeadMedia[]): Promise<void> => {
    for (const [trace, ofTrace] of Map.groupBy(letters, (letter) => letter.traceId)) {
      const stored = reader.trace(trace)?.spans ?? []
      for (const letter of ofTrace) {
        const found = contentOf(letter, stored, on)
        const isRetried = found !== undefined && on.store.media.retry(exporter, letter.id, found)
        if (isRetried) done.retried++
        else done.gone++
      }
      await turn()
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
      if (ofSpans.length > 0) spans(exporter, ofSpans)
      const ofScores = taken.filter((row) => row.what === 'score')
      if (ofScores.length > 0) scores(exporter, ofScores)
      await media(
        exporter,
        taken.filter((row) => row.what === 'media'),
      )
    }
    on.wake()
    await turn()
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
    await turn()
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

/** What was rejected, from its observation: content is not kept apart from it. */
function contentOf(
  { observationId, field, sha256 }: DeadMedia,
  spans: readonly StoredSpan[],
  { store }: Operated,
): ReturnType<typeof cutMedia>['media'][number] | undefined {
  return spans
    .filter(({ spanId }) => spanId.toString('hex') === observationId)
    .flatMap((span) => cutMedia(span, (parts, into, at) => store.loadParts(parts, into, at)).media)
    .find((media) => media.sha256 === sha256 && media.field === field)
}
