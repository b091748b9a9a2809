// Who takes from the list, and lives: each relay shows a sign that expires. What one has taken that shows none any more, the
// others put back where it came from, in its order. One that was only stopped notices, and reads again what it holds.
import type { Log } from '../../log.ts'
import type { RedisConnection } from '../../redis/connection.ts'
import { isFull } from '../../redis/failure.ts'
import type { ListKeys } from '../../redis/lists.ts'
import { each } from '../redis/pause.ts'

export interface Lives {
  /** False: others may be giving back what this relay holds, for its sign has expired, or is about to. */
  readonly isShown: () => boolean
  /** Elements that were given back for dead relays. */
  readonly givenBack: number
  /** Shows the sign of life. @throws SendError */
  show(): Promise<void>
  /** Gives back what an earlier run of this relay had taken, which is dead for certain. @throws SendError */
  inherit(earlier: string): Promise<void>
  /** Leaves the relays; what is still in the processing list stays known to the others. @throws SendError */
  leave(): Promise<void>
  stop(): Promise<void>
}

export interface LivesOptions {
  readonly connection: RedisConnection
  readonly keys: ListKeys
  readonly relay: string
  /** What the sign says, for people. */
  readonly about: string
  readonly claimIdleMs: number
  readonly log: Log
}

/** Of its time, after which it is shown again; and before whose end it is not relied on. */
const SHOW_EVERY = 1 / 3
const RELIED_ON = 0.8
/** Moved in one go. */
const MOVES = 64

export function startLives(options: LivesOptions): Lives {
  const { connection, keys, relay, about, claimIdleMs, log } = options
  const call = (...args: string[]) => connection.call(keys.list, args)
  const stopping = new AbortController()
  const { signal } = stopping
  let shownAt = Number.NEGATIVE_INFINITY
  let givenBack = 0

  const show = async (): Promise<void> => {
    // When it was asked for: the answer may take long.
    const now = performance.now()
    const enter = () => call('SADD', keys.relays, relay)
    const [renewed] = await Promise.all([
      call('PEXPIRE', keys.life(relay), String(claimIdleMs)),
      // Again each time: one who thought it dead may have taken it out. A Redis whose memory is full refuses.
      enter().catch(ignoreFull),
    ])
    if (Number(renewed) === 0) {
      const sign = call('SET', keys.life(relay), about, 'PX', String(claimIdleMs))
      await Promise.all([sign, enter()])
    }
    shownAt = now
  }

  /** From its newest on, to the end that is taken from: so its oldest is the next one. */
  const giveBack = async (dead: string): Promise<void> => {
    const move = () => call('LMOVE', keys.processing(dead), keys.list, 'LEFT', 'RIGHT')
    let moved = 0
    for (let isEmpty = false; !isEmpty && !signal.aborted; ) {
      const replies = await Promise.all(Array.from({ length: MOVES }, move))
      moved += replies.filter((reply) => reply !== null).length
      isEmpty = replies.at(-1) === null
    }
    givenBack += moved
    if (moved > 0) log.warn('gave back what a dead relay had taken', { relay: dead, moved })
    if (!signal.aborted) await call('SREM', keys.relays, dead)
  }

  const look = async (): Promise<void> => {
    const found = await call('SMEMBERS', keys.relays)
    for (const one of Array.isArray(found) ? found.map(String) : []) {
      if (one === relay || signal.aborted) continue
      if (Number(await call('EXISTS', keys.life(one))) === 0) await giveBack(one)
    }
  }

  const turn = async (): Promise<void> => {
    try {
      await show()
      await look()
    } catch {
      // The one who takes from the list tells.
    }
  }
  const running = each(claimIdleMs * SHOW_EVERY, signal, turn)

  return {
    isShown: () => performance.now() - shownAt < claimIdleMs * RELIED_ON,
    get givenBack() {
      return givenBack
    },
    show,
    async inherit(earlier) {
      await giveBack(earlier)
      await call('DEL', keys.life(earlier))
    },
    async leave() {
      if (Number(await call('LLEN', keys.processing(relay))) === 0) {
        await call('SREM', keys.relays, relay)
      }
      await call('DEL', keys.life(relay))
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

function ignoreFull(error: Error): void {
  if (!isFull(error)) throw error
}
