// The receiver for applications that push JSON to a list. An element is in one of these at any time, and in two for a moment:
//
//   list ──BLMOVE──▶ processing list of this run ──written, synced──▶ segment in the list's spool ──▶ as any other
//                        └──no record──▶ stream of dead elements
//
// It leaves the processing list when it is on this relay's disk, or among the dead. Whatever ends in between, and every error,
// leads to the processing list being read again: memory is never relied on. So an element comes at least once; ids stand in
// it or follow from it, so one that comes twice replaces itself.
//
// Elements are removed by what they are and never by their number: a command on a connection that was given up may arrive
// minutes later, and then puts among them what nobody has read, or takes away what has come meanwhile.
//
// A Redis whose memory is full refuses to move anything: then elements are read where they are, written, and only then removed.
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { crashPoint } from '../../crash-point.ts'
import { SendError } from '../../export/http.ts'
import type { Log } from '../../log.ts'
import { Turns } from '../../operations/turns.ts'
import { makePrivateDirectory } from '../../private-directory.ts'
import { type ConnectionOptions, connectRedis, type Reply } from '../../redis/connection.ts'
import { isFull } from '../../redis/failure.ts'
import { listKeysOf } from '../../redis/lists.ts'
import { each, pause } from '../redis/pause.ts'
import { writeDeadElement } from './dead.ts'
import { MAX_ELEMENT_BYTES, readElement } from './element.ts'
import { startLives } from './lives.ts'
import { beginRun } from './run.ts'
import { type Group, type Place, SpoolWriter } from './spool-writer.ts'

export interface ListReceiverOptions {
  readonly connection: ConnectionOptions
  readonly list: string
  /** Of its spool. */
  readonly directory: string
  readonly claimIdleMs: number
  readonly log: Log
  /** Why nothing is to be taken now; null: nothing is in the way. */
  paused(): string | null
  /** Where the store has read a writer of the spool. */
  lastRead(writer: string): Place | null
  /** How far the spool's segments are read, by path. */
  offsets(): ReadonlyMap<string, number>
  /** What may lie unread in the spool. For tests. */
  readonly unreadBytes?: number
}

/** Counts are of elements, since the relay started. Lengths are as of some seconds ago; null: not known. */
export interface ListStatus {
  readonly list: string
  /** Refused: Redis says no (a wrong type, a user who may not), and no waiting heals it. */
  readonly state: 'ok' | 'retrying' | 'refused'
  /** Why it is not ok; null: it is. */
  readonly trouble: string | null
  /** Why nothing is taken for now, on purpose: what comes waits in Redis. */
  readonly waiting: string | null
  readonly length: number | null
  /** Taken by this relay, and not on its disk yet. */
  readonly processing: number | null
  /** On its disk, and not in the store yet. */
  readonly unreadBytes: number
  /** Stream of elements that were no record. */
  readonly dead: string
  readonly deadLength: number | null
  readonly taken: number
  /** That were no record. */
  readonly malformed: number
  /** Put back for relays that had died. */
  readonly givenBack: number
  /** Why the last one was malformed, and when (ms since 1970). */
  readonly lastMalformed: { readonly at: number; readonly reason: string } | null
}

export interface ListReceiver {
  status(): ListStatus
  /** Waits until what is in the list now is on the disk; less when the time is over, or nothing can be taken. */
  catchUp(timeoutMs: number, signal?: AbortSignal): Promise<void>
  /** Takes nothing more, and waits until what was taken is on the disk. May be called again. */
  stop(): Promise<void>
}

/** What a blocked BLMOVE waits: as long as a stop may wait for it. */
const BLOCK_SECONDS = '0.5'
/** Of one batch. */
const BATCH_BYTES = 4 * 1024 * 1024
const BATCH_ELEMENTS = 256
const UNREAD_BYTES = 64 * 1024 * 1024
const RETRY_MS = 1000
const WAIT_MS = 100
const LOOK_MS = 2000
/** Dead elements that cannot be written away wait in the processing list. More of them, and nothing is taken. */
const MAX_HELD = 1000
const HELD_RETRY_MS = 5000
/** Between lines of the log about elements that are no records. */
const TELL_MS = 60_000
const STOP_MS = 5000
const LEAVE_MS = 1000
const CATCH_UP_LOOK_MS = 20

export function startListReceiver(options: ListReceiverOptions): ListReceiver {
  const { directory, log, claimIdleMs, unreadBytes = UNREAD_BYTES } = options
  const { lastRead, offsets } = options
  const keys = listKeysOf(options.list)
  makePrivateDirectory(directory)
  const run = beginRun(directory)
  const spool = new SpoolWriter({ directory, seed: run.seed, lastRead, offsets })
  const processing = keys.processing(run.id)
  const connection = connectRedis(options.connection)
  /** A blocked command holds up all behind it. */
  const blocking = connectRedis(options.connection)
  const call = (...args: (string | Buffer)[]): Promise<Reply> => connection.call(keys.list, args)
  const about = `${hostname()}:${process.pid}`
  const lives = startLives({ connection, keys, relay: run.id, about, claimIdleMs, log })
  const stopping = new AbortController()
  const { signal } = stopping

  let trouble: string | null = null
  let isRefused = false
  let isToldNow = false
  let waiting: string | null = null
  let length: number | null = null
  let inProcessing: number | null = null
  let deadLength: number | null = null
  let unread = 0
  let taken = 0
  let malformed = 0
  let lastMalformed: ListStatus['lastMalformed'] = null
  /** Of these the log does not know yet. */
  let untold = 0
  let toldAt = Number.NEGATIVE_INFINITY

  let inherits = run.earlier
  /** Something may be in the processing list that is not in memory. */
  let isLeft = true
  /** At its end that is read first: bytes of dead elements that could not be written away, the oldest first. */
  let held: number[] = []
  let heldAt = 0
  /** The same in the list itself, when nothing can be moved. */
  let skipped = 0
  let most = 1
  let largest = 0
  let isBusy = false
  /** Rounds that found nothing. */
  let empty = 0

  /** How many to ask for: they have to fit even if all are as large as the largest of late. */
  const wanted = (): number => {
    const fitting = Math.floor(BATCH_BYTES / Math.max(1, largest))
    return Math.max(1, Math.min(most, fitting, BATCH_ELEMENTS))
  }

  /** Moves what there is to the processing list; waits for the first one if there was none before. Oldest first. */
  const move = async (): Promise<Buffer[]> => {
    const args = [keys.list, processing, 'RIGHT', 'LEFT']
    if (!isBusy) {
      const first = await blocking.call(keys.list, ['BLMOVE', ...args, BLOCK_SECONDS])
      return first === null ? [] : [first as Buffer]
    }
    const moves = Array.from({ length: wanted() }, () => call('LMOVE', ...args))
    // All of them: what has come after a failure is found in the processing list.
    const replies = await Promise.allSettled(moves)
    return replies.flatMap((reply) => {
      if (reply.status === 'rejected') throw reply.reason
      return reply.value === null ? [] : [reply.value as Buffer]
    })
  }

  /** So many of a list, where they are, from its oldest on but for some. Oldest first. */
  const range = async (key: string, but: number, count: number): Promise<Buffer[]> => {
    const reply = await call('LRANGE', key, String(-(but + count)), String(-(but + 1)))
    return (reply as Buffer[]).toReversed()
  }

  /** Writes elements to the spool, or away. Returns those that could not be written away. */
  const take = async (elements: readonly Buffer[]): Promise<ReadonlySet<number>> => {
    const groups: Group[] = []
    const dead: { index: number; element: Buffer; reason: string }[] = []
    const turns = new Turns()
    for (const [index, element] of elements.entries()) {
      if (turns.isOver) await turns.next()
      const found = readElement(element)
      if (found.type === 'dead') dead.push({ index, element, reason: found.reason })
      else groups.push(found)
    }
    crashPoint('moved')
    if (groups.length > 0) await spool.write(groups)
    crashPoint('written')
    const left = new Set<number>()
    for (const { index, element, reason } of dead) {
      try {
        await writeDeadElement(connection, keys, { element, reason })
        malformed++
        untold++
        lastMalformed = { at: Date.now(), reason }
        tellMalformed()
      } catch (error) {
        if (!(error instanceof SendError) || error.status === 0) throw error
        left.add(index)
        tell(`cannot write to ${keys.dead}: `, error)
      }
    }
    taken += groups.length
    return left
  }

  /** A flood of them is none in the log. */
  const tellMalformed = (): void => {
    const now = performance.now()
    if (untold === 0 || now - toldAt < TELL_MS) return
    const about = { elements: untold, list: keys.list, dead: keys.dead }
    log.warn(`elements were no record, the last one ${lastMalformed?.reason}`, about)
    untold = 0
    toldAt = now
  }

  const remove = (key: string, elements: readonly Buffer[], left: ReadonlySet<number>) => {
    const gone = elements.filter((_, index) => !left.has(index))
    // From its end that is read first: the element is found at once.
    return Promise.all(gone.map((element) => call('LREM', key, '-1', element)))
  }

  const lookAnew = (): void => {
    isLeft = true
    held = []
  }

  /** One batch from the processing list, or by way of it. */
  const usualRound = async (): Promise<void> => {
    if (held.length > 0 && performance.now() - heldAt > HELD_RETRY_MS) {
      await heldRound()
      return
    }
    const isAgain = isLeft
    if (!isAgain && held.length >= MAX_HELD) {
      await pause(WAIT_MS, signal)
      return
    }
    const elements = isAgain ? await range(processing, held.length, wanted()) : await move()
    if (elements.length > 0 || !isAgain) measure(elements, isAgain)
    // It can be moved again.
    if (!isAgain) skipped = 0
    if (elements.length === 0) {
      if (isAgain) isLeft = false
      return
    }
    isLeft = true
    // Others may have given them back meanwhile, for this relay was stopped: it looks what it still has.
    if (!lives.isShown()) {
      lookAnew()
      return
    }
    const left = await take(elements)
    await remove(processing, elements, left)
    if (held.length === 0) heldAt = performance.now()
    held.push(...sizesOf(elements, left))
    isLeft = Number(await call('LLEN', processing)) > held.length
    if (left.size === elements.length) await pause(WAIT_MS, signal)
  }

  /** Tries the first of the dead elements again that could not be written away; the others, if that works. */
  const heldRound = async (): Promise<void> => {
    let [count, bytes] = [1, held[0]!]
    while (count < Math.min(held.length, BATCH_ELEMENTS)) {
      bytes += held[count]!
      if (bytes > BATCH_BYTES) break
      count++
    }
    const elements = await range(processing, 0, count)
    if (elements.length < count || !lives.isShown()) {
      lookAnew()
      return
    }
    const left = await take(elements)
    await remove(processing, elements, left)
    held.splice(0, count, ...sizesOf(elements, left))
    if (left.size === count) heldAt = performance.now()
  }

  /** One batch from the list itself. */
  const fullRound = async (): Promise<void> => {
    const elements = await range(keys.list, skipped, wanted())
    measure(elements, false)
    const left = await take(elements)
    await remove(keys.list, elements, left)
    // At the other end it begins anew, but does not do so all the time.
    skipped = elements.length === 0 ? 0 : skipped + left.size
    if (elements.length === 0) await pause(RETRY_MS, signal)
  }

  const measure = (elements: readonly Buffer[], isAgain: boolean): void => {
    isBusy = elements.length > 0
    if (elements.length === 0 && !isAgain) empty++
    most = Math.min(BATCH_ELEMENTS, 2 * Math.max(1, elements.length))
    const now = elements.reduce((max, { length: bytes }) => Math.max(max, bytes), 0)
    largest = Math.max(now, Math.min(largest, MAX_ELEMENT_BYTES) / 2)
  }

  const round = async (): Promise<void> => {
    try {
      if (!lives.isShown()) {
        await lives.show()
        lookAnew()
      }
      if (inherits !== null) await lives.inherit(inherits)
      inherits = null
      await usualRound()
    } catch (error) {
      if (!isFull(error)) throw error
      // Of a pipeline the first ones may have been moved.
      isLeft = true
      tell('', error as Error)
      await fullRound()
    }
  }

  const tell = (what: string, error: Error): void => {
    const message = `${what}${error.message}`
    isRefused = error instanceof SendError && error.code === 'refused'
    if (trouble !== message) log.warn(`taking from the list: ${message}`, { list: keys.list })
    trouble = message
    isToldNow = true
  }

  const inTheWay = (): string | null => {
    const paused = options.paused()
    if (paused !== null) return paused
    unread = spool.unread()
    return unread > unreadBytes ? `${unread} bytes are not read yet` : null
  }

  const work = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        waiting = inTheWay()
        if (waiting !== null) {
          await pause(WAIT_MS, signal)
          continue
        }
        isToldNow = false
        await round()
        if (trouble !== null && !isToldNow && held.length === 0) {
          log.info('taking from the list again', { list: keys.list })
          trouble = null
        }
      } catch (error) {
        lookAnew()
        isBusy = false
        tell('', error as Error)
        await pause(RETRY_MS * (0.5 + Math.random()), signal)
      }
    }
  }

  const lookAt = async (): Promise<void> => {
    const asked = [call('LLEN', keys.list), call('LLEN', processing), call('XLEN', keys.dead)]
    const [inList, taking, dead] = await Promise.allSettled(asked)
    length = numberOf(inList)
    inProcessing = numberOf(taking)
    deadLength = numberOf(dead)
    // Of a batch that is not written yet; or something has come late.
    if (inProcessing !== null && inProcessing > held.length) isLeft = true
    tellMalformed()
  }
  const looking = each(LOOK_MS, signal, lookAt)
  const working = work()
  let stopped: Promise<void> | undefined

  const end = async (): Promise<void> => {
    stopping.abort()
    await within(STOP_MS, working)
    // Without it others wait for redis.claim-idle.
    await within(
      LEAVE_MS,
      lives.stop().then(() => lives.leave()),
    )
    await Promise.all([connection.close(), blocking.close()])
    await Promise.all([working, looking, lives.stop()])
    spool.close()
  }

  return {
    status: () => ({
      list: keys.list,
      state: trouble === null ? 'ok' : isRefused ? 'refused' : 'retrying',
      trouble,
      waiting,
      length,
      processing: inProcessing,
      unreadBytes: unread,
      dead: keys.dead,
      deadLength,
      taken,
      malformed,
      givenBack: lives.givenBack,
      lastMalformed,
    }),
    async catchUp(timeoutMs, until) {
      const deadline = performance.now() + timeoutMs
      let goal: number | null = null
      const rounds = empty
      while (performance.now() < deadline && until?.aborted !== true && trouble === null) {
        // What a dead run held stands in the list by then.
        if (goal === null && inherits === null) {
          const waits = await call('LLEN', keys.list).catch(() => null)
          if (waits !== null) goal = taken + malformed + Number(waits)
        }
        if (empty > rounds || (goal !== null && taken + malformed >= goal)) return
        await delay(CATCH_UP_LOOK_MS)
      }
    },
    stop: () => (stopped ??= end()),
  }
}

/** Waits for it, at most so long; what fails has been told. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  await Promise.race([work.catch(() => {}), delay(ms, undefined, { ref: false })])
}

function sizesOf(elements: readonly Buffer[], left: ReadonlySet<number>): number[] {
  return [...left].map((index) => elements[index]!.length)
}

/** Null: there is no answer. */
function numberOf(reply: PromiseSettledResult<Reply> | undefined): number | null {
  return reply?.status === 'fulfilled' ? Number(reply.value) : null
}
