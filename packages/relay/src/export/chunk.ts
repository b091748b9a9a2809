// What is known of a chunk while spans of it are on their way.
import { AGAIN, SETTLED, TAKEN, WAITING } from '../store/states.ts'
import type { DeadLetter, Settlement } from '../store/store.ts'
import type { OutboxChunk } from './outbox.ts'

export interface Chunk {
  readonly info: OutboxChunk
  /** For each span, as states.ts has them. */
  readonly states: Uint8Array
  taken: number
  settled: number
  /** Spans settled since the outbox was told, and below what became of them. */
  news: number
  delivered: number
  dead: number
  refused: number
  /** Of spans whose observations were counted before. */
  resent: number
  notResent: number
  deadLetters: DeadLetter[]
  /** Lanes that let spans of it lie. */
  readonly lying: Set<string>
}

/** Spans of a chunk that follow each other in it and in a request: `from` up to, not including, `to`. */
export interface Run {
  readonly chunk: Chunk
  readonly from: number
  readonly to: number
  /** Their observations are counted already: newer versions, and what is sent again. */
  readonly counted: boolean
}

export function openChunk(info: OutboxChunk): Chunk {
  const states = new Uint8Array(info.spans)
  if (info.states !== null) states.set(info.states)
  return {
    info,
    states,
    taken: 0,
    settled: states.reduce((count, state) => (state === SETTLED ? count + 1 : count), 0),
    news: 0,
    delivered: 0,
    dead: 0,
    refused: 0,
    resent: 0,
    notResent: 0,
    deadLetters: [],
    lying: new Set(),
  }
}

/** Whether the span lies in the outbox alone. */
export function isWaiting({ states }: Chunk, index: number): boolean {
  const state = states[index]
  return state === WAITING || state === AGAIN
}

export function isAgain({ states }: Chunk, index: number): boolean {
  return ((states[index] as number) & AGAIN) !== 0
}

export function markTaken(chunk: Chunk, index: number): void {
  chunk.states[index] = (chunk.states[index] as number) | TAKEN
  chunk.taken++
}

/** The first `count` spans of the runs, and the rest. */
export function splitRuns(runs: readonly Run[], count: number): [Run[], Run[]] {
  const first: Run[] = []
  let left = count
  for (const [index, run] of runs.entries()) {
    const length = run.to - run.from
    if (left < length) {
      const middle = run.from + left
      if (left > 0) first.push({ ...run, to: middle })
      return [first, [{ ...run, from: middle }, ...runs.slice(index + 1)]]
    }
    first.push(run)
    left -= length
  }
  return [first, []]
}

export function settle(
  { chunk, from, to, counted }: Run,
  outcome: 'delivered' | 'dead' | 'refused',
): void {
  const count = to - from
  chunk.states.fill(SETTLED, from, to)
  chunk.taken -= count
  chunk.settled += count
  chunk.news += count
  if (!counted) chunk[outcome] += count
  else if (outcome === 'delivered') chunk.resent += count
  else chunk.notResent += count
}

export function release({ chunk, from, to }: Run): void {
  for (let index = from; index < to; index++) chunk.states[index] = untaken(chunk.states[index]!)
  chunk.taken -= to - from
}

function untaken(state: number): number {
  return state & ~TAKEN
}

/** What became of the chunk's spans since `told`. */
export function tell(chunk: Chunk): Settlement {
  const complete = chunk.settled === chunk.info.spans
  return {
    chunk: chunk.info.id,
    complete,
    states: complete ? null : chunk.states.map(untaken),
    delivered: chunk.delivered,
    dead: chunk.dead,
    dropped: { refused: chunk.refused },
    resent: chunk.resent,
    notResent: chunk.notResent,
    deadLetters: chunk.deadLetters,
  }
}

export function told(chunk: Chunk): void {
  chunk.news = chunk.delivered = chunk.dead = chunk.refused = chunk.resent = chunk.notResent = 0
  chunk.deadLetters = []
}

/** Takes over from the outbox, which was told of all, which settled spans are to be sent again. */
export function sendAgain(chunk: Chunk, states: Uint8Array): void {
  for (const [index, state] of states.entries()) {
    if (state !== AGAIN || chunk.states[index] !== SETTLED) continue
    chunk.states[index] = AGAIN
    chunk.settled--
  }
}
