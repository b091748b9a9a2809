import { parseDuration } from './config/kinds.ts'

/** For messages: what `momentOf` takes. */
export const MOMENT = 'a duration such as 10m or an ISO time'

/** `10m` ago or ISO 8601, in ms since 1970; undefined: neither. */
export function momentOf(text: string): number | undefined {
  const ago = parseDuration(text)
  if (ago !== undefined) return Date.now() - ago
  // Date.parse takes "5" for a month.
  const at = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : at
}
