import type { Config } from '../config/options.ts'
import { IMPORT_PATH } from '../http/guard.ts'
import { BusyError } from '../receivers/otlp/intake.ts'
import type { Imported } from '../receivers/otlp/lines.ts'
import { isLeased } from '../receivers/spool/lease.ts'
import { readRelayFile } from '../relay-file.ts'

/** A relay that runs on our store. */
interface FoundRelay {
  readonly url: string
  readonly pid: number
}

const TIMEOUT_MS = 3000

/**
 * The relay of our store; null: none runs.
 *
 * @throws Error `OFFPATH_RELAY`: it runs and does not answer
 */
export async function findRelay(config: Config): Promise<FoundRelay | null> {
  const file = readRelayFile(config['store.dir'])
  if (file === null) return null
  try {
    const answer = await fetch(`${file.url}/health`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    })
    const { pid } = (await answer.json()) as { pid?: unknown }
    // A killed relay's file may name a port that another program has taken since.
    return pid === file.pid ? file : null
  } catch (error) {
    // Its pid may be another process's by now, as in a container always 1 is. The lock is a relay's.
    if (!isLeased(config['store.dir'])) return null
    throw relayError(`${nameOf(file)} does not answer: ${reasonOf(error)}`)
  }
}

/**
 * Asks a relay to change something, and returns what it answered.
 *
 * @throws Error `OFFPATH_RELAY`: it refuses; `OFFPATH_OPERATION`: it cannot be done as it was asked for
 */
export async function post(
  relay: FoundRelay,
  path: string,
  body: object,
  token: string | undefined,
): Promise<unknown> {
  let answer: Response
  try {
    answer = await fetch(relay.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization(token) },
      body: JSON.stringify(body),
      redirect: 'error',
    })
  } catch (error) {
    throw relayError(`${nameOf(relay)} has not answered: ${reasonOf(error)}`)
  }
  if (answer.ok) return answer.json()
  if (answer.status === 401) throw relayError(asksForToken(relay, token))
  if (answer.status === 404 || answer.status === 405) {
    throw relayError(tooOld(relay))
  }
  const { error } = (await answer.json().catch(() => ({}))) as { error?: { message?: string } }
  const message = error?.message ?? `answered ${answer.status}`
  if (answer.status === 400) throw Object.assign(new Error(message), { code: 'OFFPATH_OPERATION' })
  throw relayError(`${nameOf(relay)}: ${message}`)
}

/**
 * Hands lines of OTLP JSON over to a relay.
 *
 * @throws BusyError: it has no room now; Error `OFFPATH_RELAY`: it refuses
 */
export async function postLines(
  relay: FoundRelay,
  lines: Buffer,
  deliver: boolean,
  token: string | undefined,
): Promise<Imported> {
  let answer: Response
  try {
    answer = await fetch(`${relay.url}${IMPORT_PATH}?deliver=${deliver}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', ...authorization(token) },
      body: new Uint8Array(lines),
      redirect: 'error',
    })
  } catch (error) {
    throw relayError(`${nameOf(relay)} has not answered: ${reasonOf(error)}`)
  }
  if (answer.ok) return (await answer.json()) as Imported
  if (answer.status === 401) throw relayError(asksForToken(relay, token))
  if (answer.status === 404 || answer.status === 405) throw relayError(tooOld(relay))
  const { error } = (await answer.json().catch(() => ({}))) as { error?: { message?: string } }
  const message = `${nameOf(relay)}: ${error?.message ?? `answered ${answer.status}`}`
  if (answer.status !== 503 && answer.status !== 429) throw relayError(message)
  const rest = 'what was imported stays, and is known when it comes again'
  throw new BusyError('store', `${message}; ${rest}`)
}

function tooOld(relay: FoundRelay): string {
  return `${nameOf(relay)} is of a version that cannot do this: start it again`
}

export function authorization(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

export function asksForToken(relay: FoundRelay, token: string | undefined): string {
  return `${nameOf(relay)} asks for ${token === undefined ? 'a token' : 'another token'} (http.token)`
}

export function nameOf({ pid, url }: FoundRelay): string {
  return `the relay (pid ${pid}) at ${url}`
}

export function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: Error }
  return cause?.message ?? message
}

function relayError(message: string): Error {
  return Object.assign(new Error(message), { code: 'OFFPATH_RELAY' })
}
