import { didYouMean } from '../config/suggest.ts'
import { MOMENT, momentOf } from '../moment.ts'
import { type DeadFilter, type DeadKey, deadKeyOf } from '../store/dead-letters.ts'

/** What was asked for cannot be done; the message says why, and what can. */
export class OperationError extends Error {
  readonly code = 'OFFPATH_OPERATION'
}

/** Which dead letters. */
export type DeadSelection =
  | { readonly keys: readonly DeadKey[] }
  | ({ readonly keys: null } & DeadFilter)

export interface ReplayRequest {
  /** Of observations that ended at `from` or later and before `to`, ms since 1970. */
  readonly from: number
  readonly to: number
  /** Undefined: of all services; to all exporters. */
  readonly service: string | undefined
  readonly exporter: string | undefined
  /** Say what would be sent again, and change nothing. */
  readonly dryRun: boolean
}

const MAX_IDS = 10_000
const MAX_TEXT_CHARS = 1000

/**
 * `{"ids":["span:12",…]}`, or `{"all":true}` with `exporter` and `reason` (a text that stands in it) to choose by.
 *
 * @throws OperationError
 */
export function deadSelection(body: unknown): DeadSelection {
  const { ids, all, exporter, reason } = fieldsOf(body, ['ids', 'all', 'exporter', 'reason'])
  if (ids === undefined) {
    if (all !== true) {
      throw new OperationError('which dead letters? Name them by "ids", or say "all": true')
    }
    return { keys: null, exporter: text('exporter', exporter), reason: text('reason', reason) }
  }
  if (all !== undefined || exporter !== undefined || reason !== undefined) {
    throw new OperationError(
      '"ids" name dead letters one by one: "all", "exporter", "reason" do not',
    )
  }
  if (!Array.isArray(ids) || ids.length === 0 || ids.length > MAX_IDS) {
    throw new OperationError(`"ids": expected a list of 1 to ${MAX_IDS}`)
  }
  return { keys: ids.map(keyOf) }
}

function keyOf(id: unknown): DeadKey {
  const key = typeof id === 'string' ? deadKeyOf(id) : undefined
  if (key !== undefined) return key
  throw new OperationError(`${shown(id)} is no dead letter's id, such as span:12, score:7, media:9`)
}

/**
 * `{"from":…,"to":…,"service":…,"exporter":…,"dryRun":…}`; all but `from` may be left out, `to` is now then.
 *
 * @throws OperationError
 */
export function replayRequest(body: unknown): ReplayRequest {
  const names = ['from', 'to', 'service', 'exporter', 'dryRun'] as const
  const { from, to, service, exporter, dryRun = false } = fieldsOf(body, names)
  if (from === undefined) throw new OperationError('"from" is missing: since when?')
  if (typeof dryRun !== 'boolean') throw new OperationError('"dryRun": expected true or false')
  const request = {
    from: moment('from', from),
    to: to === undefined ? Date.now() : moment('to', to),
    service: text('service', service),
    exporter: text('exporter', exporter),
    dryRun,
  }
  if (request.from >= request.to) throw new OperationError('"from" has to be before "to"')
  return request
}

function moment(name: string, value: unknown): number {
  const at = typeof value === 'string' ? momentOf(value) : undefined
  if (at !== undefined) return at
  throw new OperationError(`"${name}": ${shown(value)} is not ${MOMENT}`)
}

function text(name: string, value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && value !== '' && value.length <= MAX_TEXT_CHARS) return value
  throw new OperationError(`"${name}": expected a text of 1 to ${MAX_TEXT_CHARS} characters`)
}

function fieldsOf<N extends string>(
  body: unknown,
  names: readonly N[],
): Readonly<Partial<Record<N, unknown>>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new OperationError('expected a JSON object')
  }
  for (const name of Object.keys(body)) {
    if ((names as readonly string[]).includes(name)) continue
    const meant = didYouMean(name, names)
    throw new OperationError(`${shown(name)} is not known${meant}; there are ${names.join(', ')}`)
  }
  return body as Partial<Record<N, unknown>>
}

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? 'nothing'
  return json.length > 100 ? `${json.slice(0, 100)}…` : json
}
