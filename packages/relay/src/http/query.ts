import { parseDuration } from '../config/kinds.ts'
import { didYouMean } from '../config/suggest.ts'

/** A question to the store, as the API asks it. */
export type Query =
  | {
      readonly type: 'traces'
      readonly limit: number
      readonly before: string | undefined
      readonly service: string | undefined
      /** Ms since 1970. */
      readonly since?: number | undefined
    }
  /** `id`: a trace id or the beginning of one, lower-case hex. */
  | { readonly type: 'trace'; readonly id: string }
  /** What the store knows of /api/stats. */
  | { readonly type: 'stats' }

/** Status and JSON, ready to be sent. */
export interface Answer {
  readonly status: number
  readonly body: Uint8Array<ArrayBuffer>
}

export const LIMITS = { defaultTraces: 50, maxTraces: 500 } as const

/** The API's form of an error. */
export function errorBody(
  code: string,
  message: string,
): { error: { code: string; message: string } } {
  return { error: { code, message } }
}

export function jsonAnswer(status: number, body: unknown): Answer {
  return { status, body: new TextEncoder().encode(JSON.stringify(body)) }
}

/** Longer names of services are none of ours. */
const MAX_SERVICE_CHARS = 200

interface Parameter<T> {
  /** For messages. */
  readonly expects: string
  /** Undefined: the text is not so. */
  parse(text: string): T | undefined
}

/** Of /api/traces, and of `offpath ls`. */
export const PARAMETERS: {
  readonly limit: Parameter<number>
  readonly before: Parameter<string>
  readonly service: Parameter<string>
  /** Ms since 1970. */
  readonly since: Parameter<number>
} = {
  limit: {
    expects: `a whole number from 1 to ${LIMITS.maxTraces}`,
    parse: (text) => {
      const number = /^\d{1,4}$/.test(text) ? Number(text) : 0
      return number >= 1 && number <= LIMITS.maxTraces ? number : undefined
    },
  },
  before: {
    expects: '"next" of the page before',
    parse: (text) => (/^\d{1,15}\.\d{1,15}$/.test(text) ? text : undefined),
  },
  service: {
    expects: `a name of at most ${MAX_SERVICE_CHARS} characters`,
    parse: (text) => (text.length <= MAX_SERVICE_CHARS ? text : undefined),
  },
  since: { expects: 'a duration such as 10m or an ISO time', parse: parseSince },
}

/** `10m` ago or ISO 8601, in ms since 1970. */
function parseSince(text: string): number | undefined {
  const ago = parseDuration(text)
  if (ago !== undefined) return Date.now() - ago
  // Date.parse takes "5" for a month.
  const at = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : at
}

/**
 * The query of /api/traces.
 *
 * @returns a string that says in one line what is wrong with the parameters
 */
export function tracesQuery(
  given: Readonly<Record<string, readonly string[]>>,
): Extract<Query, { type: 'traces' }> | string {
  const names = Object.keys(PARAMETERS)
  const values: Partial<Record<string, string | number>> = {}
  for (const [name, texts] of Object.entries(given)) {
    if (!Object.hasOwn(PARAMETERS, name)) {
      const meant = didYouMean(name, names)
      return `${shown(name)} is not a parameter${meant}; there are ${names.join(', ')}`
    }
    const [text = '', ...more] = texts
    if (more.length > 0) return `${name} is given more than once`
    const { parse, expects } = PARAMETERS[name as keyof typeof PARAMETERS]
    const value = parse(text)
    if (value === undefined) return `${name}: ${shown(text)} is not ${expects}`
    values[name] = value
  }
  const { limit = LIMITS.defaultTraces, before, service, since } = values
  return { type: 'traces', limit, before, service, since } as Extract<Query, { type: 'traces' }>
}

function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}
