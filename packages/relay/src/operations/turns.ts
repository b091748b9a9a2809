import { setImmediate } from 'node:timers/promises'

/** The relay's loop also reads the spool, and answers. A chunk, a transaction or a look at 10 000 rows is not cut, and comes on top. */
const TURN_MS = 10

/** What is long goes in turns, so that others have theirs in between. */
export class Turns {
  #since = performance.now()

  /** To be asked between small pieces of work. */
  get isOver(): boolean {
    return performance.now() - this.#since >= TURN_MS
  }

  async next(): Promise<void> {
    await setImmediate()
    this.#since = performance.now()
  }
}
