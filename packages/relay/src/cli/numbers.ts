import { parseDuration } from '../config/kinds.ts'
import { type Call, UsageError } from './call.ts'

/** The value of a flag that is a whole number. @throws UsageError */
export function wholeNumber(
  { flags }: Call,
  flag: string,
  otherwise: number,
  least: number,
  most: number,
): number {
  const text = flags.get(flag)
  if (text === undefined) return otherwise
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN
  if (value >= least && value <= most) return value
  throw new UsageError(`--${flag}: "${text}" is not a whole number from ${least} to ${most}`)
}

/** The value of a flag that is a time, `10m` ago or ISO 8601, in ms since 1970. @throws UsageError */
export function pointInTime({ flags }: Call, flag: string): number | undefined {
  const text = flags.get(flag)
  if (text === undefined) return undefined
  const ago = parseDuration(text)
  const at = ago === undefined ? Date.parse(text) : Date.now() - ago
  if (!Number.isNaN(at)) return at
  throw new UsageError(`--${flag}: "${text}" is neither a duration such as 10m nor an ISO time`)
}
