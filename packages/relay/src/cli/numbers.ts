import { PARAMETERS } from '../http/query.ts'
import { MOMENT, momentOf } from '../moment.ts'
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

/** The value of a flag that the API has as a parameter. @throws UsageError */
export function parameter<N extends 'before' | 'since'>(
  { flags }: Call,
  name: N,
): ReturnType<(typeof PARAMETERS)[N]['parse']> | undefined {
  const text = flags.get(name)
  if (text === undefined) return undefined
  const { parse, expects } = PARAMETERS[name]
  const value = parse(text)
  if (value === undefined) throw new UsageError(`--${name}: "${text}" is not ${expects}`)
  return value as ReturnType<(typeof PARAMETERS)[N]['parse']>
}

/** A flag that names a time, in ms since 1970. @throws UsageError */
export function momentFlag({ flags }: Call, flag: 'from' | 'to'): number | undefined {
  const text = flags.get(flag)
  if (text === undefined) return undefined
  const at = momentOf(text)
  if (at === undefined) throw new UsageError(`--${flag}: "${text}" is not ${MOMENT}`)
  return at
}
