// What somebody else has trimmed from the streams, and what relays of the pool say of it.

export interface Taken {
  /** Of all observations that were in the streams. */
  readonly names: readonly string[]
  /** Of Redis, see `RedisPair`; null: it gave no answer, and how much was trimmed is not known. */
  readonly reign: string | null
  /** Entries that no relay had been given: nobody can deliver them. */
  readonly unread: number
  /** Entries that a relay had been given, and delivers unless it has died. */
  readonly held: number
}

export interface Trim extends Taken {
  /** Relays of the pool that were up. */
  readonly pids: readonly (number | null)[]
}

/** The entries that a relay of the pool says were lost, since it started. */
export interface LostCount {
  readonly name: string
  readonly pid: number | null
  readonly lost: number
}

/** How Redis ruled in the run: at its beginning and its end. */
interface Reigns {
  readonly first: string | null
  readonly last: string | null
}

/**
 * What relays have not counted of what was trimmed, or counted too much. A relay can be held to what it and Redis have lived
 * through: before 7.2.5 one that is started again or takes over does not know how much its groups have read
 * (https://github.com/redis/redis/pull/12898), and relays compare that with what is gone.
 */
export function miscounted(
  counts: readonly LostCount[],
  trims: readonly Trim[],
  { first, last }: Reigns,
): string[] {
  const isOneReign = first !== null && first === last && trims.every(({ reign }) => reign === last)
  const most = isOneReign ? sum(trims, ({ unread, held }) => unread + held) : Infinity
  return counts.flatMap(({ name, pid, lost }) => {
    const lived = trims.filter(({ reign, pids }) => {
      return reign !== null && reign === last && pid !== null && pids.includes(pid)
    })
    const least = sum(lived, ({ unread }) => unread)
    if (lost < least) return `${name} counts ${lost} lost entries, and ${least} were trimmed unread`
    if (lost > most) return `${name} counts ${lost} lost entries, and at most ${most} were`
    return []
  })
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
