import type { Said } from './applications.ts'
import { placeOf } from './names.ts'

/** What became of observations, seen from outside: by what applications say, and by what arrived. */
export interface Account {
  /** Recorded by applications: what they had flushed, and what arrived although its application was killed before it could say so. */
  readonly accepted: number
  readonly delivered: number
  readonly deadLettered: number
  /** By reason, `trimmed`: by somebody else, from a stream of Redis. */
  readonly dropped: Readonly<Record<string, number>>
  readonly held: number
  /** What is left of `accepted`; below 0: something counts as dropped and arrived. */
  readonly lost: number
  /** Arrivals beyond the first of each. */
  readonly duplicates: number
}

export interface Seen {
  /** What applications said last, by run. */
  readonly said: ReadonlyMap<string, Said>
  /** How often each observation arrived, by name; of other runs too. */
  readonly received: ReadonlyMap<string, number>
  readonly deadLetters: Iterable<string>
  /** Names. */
  readonly trimmed: Iterable<string>
  readonly held: Iterable<string>
  /** By relays, by reason. */
  readonly dropped: Readonly<Record<string, number>>
}

/** Numbers of missing observations in a message. */
const SHOWN = 20

export function accountOf(seen: Seen): Account {
  const { said, received } = seen
  /** Numbers by run of which it is known what became of them. */
  const known = new Map([...said.keys()].map((run) => [run, new Set<number>()]))
  /** False: it is known already, or of another run. */
  const isNew = (name: string): boolean => {
    const place = placeOf(name)
    const numbers = place === null ? undefined : known.get(place.run)
    if (place === null || numbers === undefined || numbers.has(place.n)) return false
    numbers.add(place.n)
    return true
  }
  const countNew = (names: Iterable<string>): number => {
    let count = 0
    for (const name of names) if (isNew(name)) count++
    return count
  }
  const delivered = countNew(received.keys())
  // What arrived as well was delivered: whoever wrote the dead letter died before he could acknowledge it.
  const deadLettered = countNew(seen.deadLetters)
  const trimmed = countNew(seen.trimmed)
  const held = countNew(seen.held)

  const dropped: Record<string, number> = {}
  const drop = (reason: string, count: number): void => {
    if (count > 0) dropped[reason] = (dropped[reason] ?? 0) + count
  }
  drop('trimmed', trimmed)
  for (const [reason, count] of Object.entries(seen.dropped)) drop(reason, count)
  let accepted = 0
  for (const [run, { recorded, lost }] of said) {
    const beyond = [...(known.get(run) ?? [])].filter((n) => n > recorded).length
    accepted += recorded + beyond
    for (const [reason, count] of Object.entries(lost)) drop(reason, count)
  }
  const counted = Object.values(dropped).reduce((sum, count) => sum + count, 0)
  let duplicates = 0
  for (const [name, times] of received) {
    if (known.has(placeOf(name)?.run ?? '')) duplicates += times - 1
  }
  const lost = accepted - delivered - deadLettered - held - counted
  return { accepted, delivered, deadLettered, dropped, held, lost, duplicates }
}

/** Of each run with more or fewer missing than its application says, which. */
export function missingOf({ said, received, deadLetters, trimmed, held }: Seen): string[] {
  const arrived = new Set([...received.keys(), ...deadLetters, ...trimmed, ...held])
  return [...said].flatMap(([run, { recorded, lost }]) => {
    const all = Array.from({ length: recorded }, (_, i) => i + 1)
    const missing = all.filter((n) => !arrived.has(`${run}-${n}`))
    const counted = Object.values(lost).reduce((sum, count) => sum + count, 0)
    if (missing.length === counted) return []
    return `${run}: ${missing.length} of ${recorded} are missing, and it counts ${counted}: ${missing.slice(0, SHOWN).join(' ')}`
  })
}
