// Whose entries are. A relay that lives renews what it holds (XCLAIM JUSTID: idle again, not delivered again), also while its
// exporter does not get on. What nobody has renewed for `claimIdleMs` was held by a relay that crashed, or that was stopped or
// cut off for so long. It is taken over (XCLAIM), which counts as a delivery: an entry that was delivered five times is
// thought to have ended five relays, and is condemned. One that went to the shelf ended nobody: its delivery is taken back, or
// it would be blamed for whatever ends the relay.
//
// After an outage of Redis all entries look abandoned. Nothing is taken over until all who live had time to renew theirs.
// Each stream is on its own: in a cluster another node may have it.
import type { Log } from '../../log.ts'
import type { Reply } from '../../redis/connection.ts'
import { entriesOf, type Group, itemsOf, type Pending, pendingOf, textOf } from './group.ts'
import { type HeldEntries, LOST } from './held-entries.ts'
import { each, pause } from './pause.ts'

export interface Claims {
  readonly counters: {
    /** Entries. */
    readonly takenOver: number
    readonly condemned: number
  }
  /** Waits until nothing is claimed any more. */
  stop(): Promise<void>
  /** Lets others take over at once what is held, as if it had not been delivered to us; then forgets this consumer. */
  handBack(): Promise<void>
}

export interface ClaimsOptions {
  readonly group: Group
  readonly outbox: HeldEntries
  readonly claimIdleMs: number
  readonly log: Log
  /** Something was taken over. */
  wake(): void
}

/** How Redis is doing, as the renewals of a stream see it; by performance.now(). */
interface Pulse {
  /** A round of them ended well. */
  renewedAt: number
  /** One failed, or came late. */
  troubledAt: number
}

/** Ends of relays, of which an entry is thought to be the cause. */
const MAX_ENDS = 5
/** From so many on an entry is taken over alone, after the others: what is held with it when it ends the relay is blamed too. */
const SUSPECT = 3
/** Of claimIdleMs: beyond what is usual, a third, less cannot make anything look abandoned. */
const LATE = 2 / 3
/** Listed, renewed, taken over at a time. */
const LISTED = 500
const RENEWED = 100
const TAKEN = 10
const LOOK_MS = 50

/** Removes consumers that hold nothing and have not been seen for a while; in one step, or what they are just given would be lost. */
const FORGET_CONSUMERS = `for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for i = 1, #consumer, 2 do of[consumer[i]] = consumer[i + 1] end
  if of.pending == 0 and (of.idle > tonumber(ARGV[2]) or of.name == ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
  end
end`
const FORGET_AFTER = 10

export function startClaims(options: ClaimsOptions): Claims {
  const { group, outbox, claimIdleMs, log } = options
  const { connection, streams, name, consumer } = group
  const stopping = new AbortController()
  const { signal } = stopping
  const counters = { takenOver: 0, condemned: 0 }

  const isSuspect = ({ deliveries }: Pending): boolean => deliveries >= SUSPECT

  const pulses = new Map(
    streams.map((stream): [string, Pulse] => {
      return [stream, { renewedAt: performance.now(), troubledAt: Number.NEGATIVE_INFINITY }]
    }),
  )

  /** Of each stream: what waits on the shelf, or did, and whose delivery was taken back. */
  const forgiven = new Map(streams.map((stream) => [stream, new Set<string>()]))

  /** Ends when the suspect that is in memory, if there is one, has left it. */
  let alone: Promise<void> = Promise.resolve()

  const claim = (stream: string, idleMs: number, rest: readonly string[]) =>
    connection.call(stream, ['XCLAIM', stream, name, consumer, String(idleMs), ...rest])

  /** What this consumer holds, as Redis knows it. */
  const own = async (stream: string, idleMs: number): Promise<Pending[]> => {
    const all: Pending[] = []
    for (;;) {
      const after = all.at(-1)?.id
      const from = after === undefined ? '-' : `(${after}`
      const page = await pendingOf(group, stream, { idleMs, count: LISTED, from, consumer })
      all.push(...page)
      if (page.length < LISTED) return all
    }
  }

  const renew = async (stream: string): Promise<void> => {
    // Those that were renewed a moment ago can wait until the next time.
    const ours = await own(stream, Math.floor(claimIdleMs / 6))
    await forgive(stream, ours)
    const held = ours.flatMap(({ id }) => (outbox.isHeld(stream, id) ? [id] : []))
    for (let at = 0; at < held.length; at += RENEWED) {
      const ids = held.slice(at, at + RENEWED)
      const renewed = new Set(itemsOf(await claim(stream, 0, [...ids, 'JUSTID'])).map(textOf))
      if (renewed.size < ids.length)
        await missed(
          stream,
          ids.filter((id) => !renewed.has(id)),
        )
    }
    const pulse = pulses.get(stream)!
    const now = performance.now()
    if (now - pulse.renewedAt > LATE * claimIdleMs) pulse.troubledAt = now
    pulse.renewedAt = now
  }

  /** Takes the delivery of what waits on the shelf back; once, for it may come to the shelf again. */
  const forgive = async (stream: string, ours: readonly Pending[]): Promise<void> => {
    const ofStream = forgiven.get(stream)!
    for (const id of ofStream) if (!outbox.isHeld(stream, id)) ofStream.delete(id)
    const shelved = ours.filter(({ id }) => outbox.isShelved(stream, id) && !ofStream.has(id))
    await takeBack(stream, shelved, [])
    for (const { id } of shelved) ofStream.add(id)
  }

  /** Has them as if they had not been delivered to us. Returns which were still there. */
  const takeBack = async (
    stream: string,
    entries: readonly Pending[],
    also: readonly string[],
  ): Promise<ReadonlySet<string>> => {
    const ofStream = forgiven.get(stream)!
    const back = new Set<string>()
    const before = ({ id, deliveries }: Pending): number =>
      ofStream.has(id) ? deliveries : Math.max(0, deliveries - 1)
    for (const [deliveries, of] of Map.groupBy(entries, before)) {
      const as = [...also, 'RETRYCOUNT', String(deliveries), 'JUSTID']
      for (let at = 0; at < of.length; at += RENEWED) {
        const ids = of.slice(at, at + RENEWED).map(({ id }) => id)
        for (const id of itemsOf(await claim(stream, 0, [...ids, ...as]))) back.add(textOf(id))
      }
    }
    return back
  }

  /** With its answer that to each acknowledgement before it has come. */
  const catchUp = (stream: string): Promise<Reply> => connection.call(stream, ['XLEN', stream])

  /** Entries that are not pending any more: they were acknowledged just now, or are gone from the stream. */
  const missed = async (stream: string, ids: readonly string[]): Promise<void> => {
    await catchUp(stream)
    miss(
      stream,
      ids.filter((id) => outbox.needs(stream, id)),
    )
  }

  /** Entries that are gone from the stream, and were not acknowledged. */
  const miss = (stream: string, ids: readonly string[]): void => {
    const kept = ids.filter((id) => outbox.miss(stream, id)).length
    if (kept > 0) {
      const text =
        'a stream was trimmed before its entries were delivered: they are still in memory here'
      log.warn(text, { exporter: name, stream, entries: kept })
    }
    tellLost(stream, ids.length - kept)
  }

  const tellLost = (stream: string, entries: number): void => {
    if (entries > 0) log.error(LOST, { exporter: name, stream, entries })
  }

  /** What looks abandoned is: all who live have renewed theirs. */
  const isSteady = (stream: string): boolean => {
    const { renewedAt, troubledAt } = pulses.get(stream)!
    const now = performance.now()
    const renewed = renewedAt >= troubledAt && now - renewedAt < LATE * claimIdleMs
    return renewed && now - troubledAt > claimIdleMs / 2
  }

  const takeOver = async (stream: string): Promise<void> => {
    for (let most = 1; await takeSome(stream, most); most = Math.min(TAKEN, 2 * most));
    await forgetConsumers(stream, claimIdleMs * FORGET_AFTER)
  }

  /** False: there is nothing more to take over, or no room for it. */
  const takeSome = async (stream: string, most: number): Promise<boolean> => {
    const before = alone
    await before
    if (!isSteady(stream) || signal.aborted) return false
    const pending = await pendingOf(group, stream, { idleMs: claimIdleMs, count: LISTED })
    // The answer may have been a long time coming.
    if (!isSteady(stream)) return false
    // A suspect of another stream came first.
    if (alone !== before) return true
    const idle = pending.filter(({ id }) => !outbox.isHeld(stream, id))
    const worn = idle.filter(({ deliveries }) => deliveries >= MAX_ENDS)
    if (worn.length > 0) {
      await condemn(stream, worn.slice(0, TAKEN))
      return true
    }
    const [oldest] = idle
    if (oldest === undefined || outbox.room <= 0) return false
    const from = idle.findIndex((one) => !isSuspect(one))
    if (from < 0) {
      await takeSuspect(stream, oldest.id)
      return true
    }
    const to = idle.findIndex((one, i) => i > from && isSuspect(one))
    const inTurn = idle.slice(from, to < 0 ? idle.length : to).map(({ id }) => id)
    await take(stream, inTurn.slice(0, outbox.fitting(Math.min(most, inTurn.length))))
    return true
  }

  /** One after the other, over all streams. */
  const takeSuspect = (stream: string, id: string): Promise<void> => {
    const untilItLeaves = async (): Promise<void> => {
      await take(stream, [id])
      const isInMemory = () => outbox.isHeld(stream, id) && !outbox.isShelved(stream, id)
      while (isInMemory() && !signal.aborted) await pause(LOOK_MS, signal)
    }
    const taken = untilItLeaves()
    alone = taken.catch(() => {})
    return taken
  }

  const take = async (stream: string, ids: readonly string[]): Promise<void> => {
    const { claimed, silent } = await claimIdle(stream, ids)
    let taken = 0
    for (const entry of entriesOf(claimed)) if (outbox.add(stream, entry)) taken++
    counters.takenOver += taken
    if (taken > 0) {
      log.info('entries of another relay taken over', { exporter: name, stream, entries: taken })
      options.wake()
    }
    await missGone(stream, silent)
  }

  /** Entries that have ended relays: nobody looks into them again. */
  const condemn = async (stream: string, entries: readonly Pending[]): Promise<void> => {
    const ids = entries.map(({ id }) => id)
    const { claimed, silent } = await claimIdle(stream, ids, 'JUSTID')
    await missGone(stream, silent)
    const ours = new Set(itemsOf(claimed).map(textOf))
    for (const { id, deliveries } of entries) {
      if (!ours.has(id)) continue
      // One by one: they may be large.
      const [entry] = entriesOf(await connection.call(stream, ['XRANGE', stream, id, id]))
      const reason = `its relay crashed or was cut off ${deliveries} times`
      counters.condemned++
      log.error(`an entry goes to the dead letters: ${reason}`, {
        exporter: name,
        stream,
        entry: id,
      })
      outbox.condemn(stream, entry ?? { id, bytes: null }, reason)
    }
  }

  /**
   * Claims of these ids, which are in order, what nobody has renewed, and nothing else: XAUTOCLAIM would strike off what was
   * trimmed between them, which a relay that lives may have renewed and in memory. Silent: what XCLAIM did not bring, though
   * nobody had renewed it.
   */
  const claimIdle = async (
    stream: string,
    ids: readonly string[],
    ...how: readonly string[]
  ): Promise<{ readonly claimed: Reply; readonly silent: readonly string[] }> => {
    const span = { from: ids.at(0)!, to: ids.at(-1)! }
    // XCLAIM does not bring what is gone, nor what another relay has just taken or acknowledged. Sent right before it,
    // XPENDING has only the former.
    const [idle, claimed] = await Promise.all([
      pendingOf(group, stream, { idleMs: claimIdleMs, count: LISTED, ...span }),
      claim(stream, claimIdleMs, [...ids, ...how]),
    ])
    const answered = new Set(itemsOf(claimed).map((item) => textOf(itemsOf(item)[0] ?? item)))
    const wanted = new Set(ids)
    const silent = idle.flatMap(({ id }) => (wanted.has(id) && !answered.has(id) ? [id] : []))
    return { claimed, silent }
  }

  const missGone = async (stream: string, silent: readonly string[]): Promise<void> => {
    const looks = silent.map(async (id) => {
      const found = itemsOf(await connection.call(stream, ['XRANGE', stream, id, id]))
      return found.length === 0 ? [id] : []
    })
    miss(stream, (await Promise.all(looks)).flat())
  }

  const forgetConsumers = async (stream: string, idleMs: number, also = ''): Promise<void> => {
    try {
      const args = [name, String(idleMs), also]
      await connection.call(stream, ['EVAL', FORGET_CONSUMERS, '1', stream, ...args])
    } catch (error) {
      // A user that may run no scripts: consumers of old relays stay, which costs a name each.
      log.debug((error as Error).message, { exporter: name })
    }
  }

  const told = (work: (stream: string) => Promise<void>, stream: string) => async () => {
    try {
      await work(stream)
    } catch (error) {
      const { message } = error as Error
      // A group that is not there yet is made by the reader.
      if (message.startsWith('NOGROUP')) return
      pulses.get(stream)!.troubledAt = performance.now()
      log.warn(`cannot claim entries: ${message}`, { exporter: name, stream })
    }
  }
  const running = Promise.all(
    streams.flatMap((stream) => [
      each(claimIdleMs / 3, signal, told(renew, stream)),
      each(claimIdleMs / 2, signal, told(takeOver, stream)),
    ]),
  )

  const handBackOf = async (stream: string): Promise<void> => {
    // First what is known: Redis may not answer any more.
    tellLost(stream, outbox.giveUp(stream))
    const ours = await own(stream, 0)
    // Others were in an answer that never came.
    const arrived = new Set(ours.flatMap(({ id }) => (outbox.isHeld(stream, id) ? [id] : [])))
    const back = await takeBack(stream, ours, ['IDLE', String(claimIdleMs)])
    const silent = ours.flatMap(({ id }) => (back.has(id) ? [] : [id]))
    if (silent.length > 0) {
      await catchUp(stream)
      const gone = silent.filter((id) => !arrived.has(id) || outbox.needs(stream, id))
      const lost = gone.filter((id) => !outbox.miss(stream, id)).length
      tellLost(stream, lost + outbox.giveUp(stream))
    }
    await forgetConsumers(stream, Number.MAX_SAFE_INTEGER, consumer)
  }

  return {
    counters,
    async stop() {
      stopping.abort()
      await running
    },
    async handBack() {
      await Promise.allSettled(streams.map(handBackOf))
    },
  }
}
