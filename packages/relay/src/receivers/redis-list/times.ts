// Times as people write them by hand, in any language. What stands for more than one moment is refused, and never guessed.

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?$/i
/** Nanoseconds as text: docs/json-records.md. Below it is 1973: somebody's seconds, milliseconds or microseconds. */
const MIN_NANOS = 10n ** 17n
const MAX_SECONDS = 0xffff_ffffn
const SECOND = 10n ** 9n

/** By what a number may be at most: seconds up to the year 5138, and so on. No two of them overlap in our times. */
const UNITS = [
  [1e11, 1e6, 1000n],
  [1e14, 1e3, 1000n],
  [1e17, 1e3, 1n],
  [Number.POSITIVE_INFINITY, 1, 1n],
] as const

/** What is wrong with a time, as the rest of a sentence about it. */
export class TimeError extends Error {}

/**
 * Nanoseconds since 1970 in decimal, of nanoseconds as text, of an ISO 8601 time with its zone, or of a number: seconds (also
 * with a fraction), milliseconds, microseconds or nanoseconds, by its size.
 *
 * @throws TimeError
 */
export function nanosOf(value: unknown): string {
  if (typeof value === 'number') return checked(ofNumber(value))
  if (typeof value !== 'string') {
    throw new TimeError('is no time: nanoseconds as text, seconds as a number, or ISO 8601')
  }
  if (/^\d{1,20}$/.test(value)) {
    const nanos = BigInt(value)
    if (nanos >= MIN_NANOS) return checked(nanos)
    throw new TimeError('as text is nanoseconds, which would be before 1973: write it as a number')
  }
  return checked(ofIso(value))
}

function ofNumber(value: number): bigint {
  // Below it is a duration, or what a monotonic clock says.
  if (!(value >= 1e8 && Number.isFinite(value))) {
    throw new TimeError('is no time since 1970, in seconds or smaller units')
  }
  const [, factor, unit] = UNITS.find(([most]) => value < most) as (typeof UNITS)[number]
  return BigInt(Math.round(value * factor)) * unit
}

function ofIso(text: string): bigint {
  const match = ISO.exec(text)
  if (match === null) throw new TimeError('is no time: nanoseconds since 1970, or ISO 8601')
  const [, year, month, day, hour, minute, second = '0', fraction = '', zone] = match
  if (zone === undefined) throw new TimeError('has no zone: end it with Z, or with +02:00')
  // Date.UTC has a year of two digits in the 1900s.
  if (+year! < 1970) throw new TimeError('is beyond 1970 to 2106')
  // A leap second is the next one.
  const ms = Date.UTC(+year!, +month! - 1, +day!, +hour!, +minute!, +second)
  const date = new Date(Date.UTC(+year!, +month! - 1, +day!))
  const isThere =
    date.getUTCMonth() === +month! - 1 &&
    date.getUTCDate() === +day! &&
    +hour! < 24 &&
    +minute! < 60 &&
    +second <= 60
  if (!isThere) throw new TimeError('is a time that there is not')
  return BigInt(ms) * 1_000_000n - offsetOf(zone) + BigInt(fraction.padEnd(9, '0'))
}

function offsetOf(zone: string): bigint {
  if (zone.toUpperCase() === 'Z') return 0n
  const [hours, minutes] = [zone.slice(1, 3), zone.slice(3).replace(':', '') || '0']
  // The farthest are -12:00 and +14:00.
  if (+hours > 14 || +minutes > 59) throw new TimeError('has a zone that there is not')
  const seconds = BigInt(hours) * 3600n + BigInt(minutes) * 60n
  return (zone.startsWith('-') ? -seconds : seconds) * SECOND
}

function checked(nanos: bigint): string {
  if (nanos < 0n || nanos / SECOND > MAX_SECONDS) throw new TimeError('is beyond 1970 to 2106')
  return String(nanos)
}
