/** ISO 8601 in UTC with nanoseconds. */
export function isoTime(seconds: number, nanos: number): string {
  const date = new Date(seconds * 1000).toISOString().slice(0, -5)
  return `${date}.${String(nanos).padStart(9, '0')}Z`
}

/** Nanoseconds since 1970 of an ISO time, which Date would cut to milliseconds; null: it is none. */
export function nanosOfIso(time: string): bigint | null {
  const ms = Date.parse(time)
  if (Number.isNaN(ms)) return null
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? ''
  return (
    BigInt(Math.floor(ms / 1000)) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9))
  )
}
