import type { Estimate } from './bootstrap.ts'

/** What a number counts, from the end of its name: it decides how the number is written. */
export type Unit = 'ms' | 'us' | 's' | 'mb' | 'ms_per_mb' | 'share' | 'count' | 'number'

const SIGNS: Readonly<Record<Unit, string>> = {
  ms: ' ms',
  us: ' µs',
  s: ' s',
  mb: ' MB',
  ms_per_mb: ' ms/MB',
  share: ' %',
  count: '',
  number: '',
}

const COUNTS =
  /^(requests|failed|threads|recorded|delivered|delivered_after_load|lost|dropped|held|batches|unseen|rounds|stalls|cores|seed)$/

export function unitOf(name: string): Unit {
  if (name.endsWith('ms_per_mb')) return 'ms_per_mb'
  if (COUNTS.test(name)) return 'count'
  const end = name.slice(name.lastIndexOf('_') + 1)
  return end === 'ms' || end === 'us' || end === 'mb' || end === 'share' ? end : 'number'
}

/** A number as it is written without its unit: three digits or so, thousands apart. Shares become percent. */
export function digits(value: number, unit: Unit = 'number', decimals?: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = unit === 'share' ? value * 100 : value
  const places = decimals ?? placesOf(size, unit)
  let text = Math.abs(size).toFixed(places)
  // What is not all is not written as all.
  if (unit === 'share' && size < 100 && Number(text) === 100) text = '99.9'
  const [whole = '', fraction] = text.split('.')
  const apart = whole.replace(/\B(?=(\d{3})+$)/g, ' ')
  const minus = size < 0 && Number(text) !== 0 ? '−' : ''
  return `${minus}${apart}${fraction === undefined ? '' : `.${fraction}`}`
}

/** The number with its unit. */
export function shown(value: number, unit: Unit, decimals?: number): string {
  return `${digits(value, unit, decimals)}${SIGNS[unit]}`
}

/** `155 ms [140–171]` */
export function withInterval(estimate: Estimate, unit: Unit, decimals?: number): string {
  const interval = intervalOf(estimate, unit, decimals)
  const value = shown(estimate.value, unit, decimals)
  return interval === '' ? value : `${value} ${interval}`
}

/** `[140–171]`; nothing where there is no interval. */
export function intervalOf({ low, high }: Estimate, unit: Unit, decimals?: number): string {
  if (low === undefined || high === undefined) return ''
  const dash = low < 0 || high < 0 ? ' to ' : '–'
  return `[${digits(low, unit, decimals)}${dash}${digits(high, unit, decimals)}]`
}

function placesOf(size: number, unit: Unit): number {
  const magnitude = Math.abs(size)
  if (unit === 'count' || magnitude >= 99.95 || magnitude === 0) return 0
  if (unit === 'us' && magnitude >= 9.95) return 0
  if (unit === 'share' && magnitude >= 9.95 && magnitude <= 90) return 0
  if (magnitude >= 0.995) return 1
  return Math.min(4, 1 - Math.floor(Math.log10(magnitude)))
}
