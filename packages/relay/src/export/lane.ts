import type { Send, SendError } from './http.ts'
import type { Packer } from './packer.ts'

/**
 * retrying: the server does not answer, or asks for later; unauthorized: it refuses the keys;
 * misconfigured: it takes nothing at this URL; no-keys: the configuration has none for the project.
 */
export type LaneState = 'ok' | 'retrying' | 'unauthorized' | 'misconfigured' | 'no-keys'

/** They heal by somebody's hand alone: keys, a URL. */
export const STUCK: readonly LaneState[] = ['unauthorized', 'misconfigured', 'no-keys']

/** How those of one set of keys get on. */
export interface LaneHealth {
  readonly key: string
  state: LaneState
  /** When the state began, ms since 1970. */
  since: number
  message: string | null
  /** Requests on their way, or waiting for another attempt. */
  inFlight: number
  /** Nothing is sent until then, by the clock's `elapsed()`, and what waits is on a shelf; 0: it is. How often in turn. */
  closedUntil: number
  closings: number
}

/** Spans that may share requests: those of one set of keys. */
export interface Lane extends LaneHealth {
  readonly headers: Readonly<Record<string, string>>
  readonly send: Send
  readonly packer: Packer
  /** Number of the request that is being filled, and of the newest one that has waited long enough. */
  filling: number
  ripe: number
  /** Takes spans of the chunk that is being read. */
  accepting: boolean
  /** The first chunk of which it let spans lie; it takes nothing until it is read again from there. */
  rewind: number | null
}

/** How a lane is before its first request. `what`: what has keys, for the message. */
export function newHealth(key: string, hasKeys: boolean, now: number, what: string): LaneHealth {
  const who = key === '' ? `${what} that name no project` : `the project ${JSON.stringify(key)}`
  const rest = { inFlight: 0, closedUntil: 0, closings: 0 }
  return hasKeys
    ? { key, state: 'ok', since: now, message: null, ...rest }
    : { key, state: 'no-keys', since: now, message: `no keys for ${who}`, ...rest }
}

/** Returns whether the state is another one than before. */
export function enter(
  lane: LaneHealth,
  state: LaneState,
  message: string | null,
  now: number,
): boolean {
  const changes = lane.state !== state
  if (changes) lane.since = now
  lane.state = state
  lane.message = message
  return changes
}

export function stateAfter(error: SendError): LaneState {
  if (error.code !== 'refused') return 'retrying'
  return error.status === 401 || error.status === 403 ? 'unauthorized' : 'misconfigured'
}

interface Health {
  readonly state: LaneState
  readonly since: number
  readonly message: string | null
}

interface LaneStatus extends Health {
  readonly project: string
  readonly inFlight: number
}

/** The worst of the lanes, and each of them. */
export function healthOf(
  lanes: Iterable<LaneHealth>,
  startedAt: number,
): Health & { readonly lanes: readonly LaneStatus[] } {
  const all = [...lanes].map(({ key, state, since, message, inFlight }) => ({
    project: key,
    state,
    since,
    message,
    inFlight,
  }))
  let worst: Health = { state: 'ok', since: startedAt, message: null }
  for (const lane of all) {
    if (lane === all[0] || SEVERITY[lane.state] > SEVERITY[worst.state]) worst = lane
  }
  const { state, since, message } = worst
  return { state, since, message, lanes: all }
}

const SEVERITY: Readonly<Record<LaneState, number>> = {
  ok: 0,
  retrying: 1,
  'no-keys': 2,
  misconfigured: 3,
  unauthorized: 4,
}
