/** `0.4 ms`, `12 ms`, `1.84 s`, `3 m 12 s`, `2 h 5 m`, `3 d 4 h` */
export function duration(ms: number): string {
  if (ms < 1) return ms === 0 ? '0 ms' : `${trim(ms.toPrecision(1))} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const [big, small, bigName, smallName] =
    ms < 3_599_500
      ? [60_000, 1000, 'm', 's']
      : ms < 86_370_000
        ? [3_600_000, 60_000, 'h', 'm']
        : [86_400_000, 3_600_000, 'd', 'h']
  const smalls = Math.round(ms / small)
  const perBig = big / small
  const rest = smalls % perBig
  const bigs = `${Math.floor(smalls / perBig)} ${bigName}`
  return rest === 0 ? bigs : `${bigs} ${rest} ${smallName}`
}

/** `812 B`, `64 KB`, `1.5 MB`: powers of 1024, as the configuration reads them. */
export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = count
  let unit = 0
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : trim(value.toFixed(1))} ${units[unit]}`
}

/** `1 234 567` */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ')
}

/** `1 span`, `2 spans` */
export function plural(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? '' : 's'}`
}

/** Local time: `14:03:07` today, `11-23 14:03:07` before. */
export function clockTime(time: Date, now: Date = new Date()): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
  if (time.toDateString() === now.toDateString()) return clock
  return `${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`
}

function trim(number: string): string {
  return number.replace(/\.0$/, '')
}
