import type { Settlement } from '../store/store.ts'

/** Of a chunk that is settled whole; what became of its spans is given. */
export function settled(chunk: number, over: Partial<Settlement> = {}): Settlement {
  return {
    chunk,
    complete: true,
    states: null,
    delivered: 0,
    dead: 0,
    dropped: {},
    resent: 0,
    notResent: 0,
    deadLetters: [],
    ...over,
  }
}
