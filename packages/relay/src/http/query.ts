import { didYouMean } from '../config/suggest.ts'
import { MOMENT, momentOf } from '../moment.ts'
import type { DeadKey } from '../store/dead-letters.ts'

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
  | {
      readonly type: 'dead'
      readonly limit: number
      readonly exporter: string | undefined
      /** Stands in the reason. */
      readonly reason: string | undefined
    }
  | { readonly type: 'deadLetter'; readonly key: DeadKey }
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
  since: { expects: MOMENT, parse: momentOf },
}

const MAX_REASON_CHARS = 1000

/** Of /api/dead. */
const DEAD_PARAMETERS: Readonly<Record<string, Parameter<string | number>>> = {
  limit: PARAMETERS.limit,
  exporter: PARAMETERS.service,
  reason: {
    expects: `a text of at most ${MAX_REASON_CHARS} characters`,
    parse: (text) => (text.length <= MAX_REASON_CHARS ? text : undefined),
  },
}

type Given = Readonly<Record<string, readonly string[]>>

/**
 * The query of /api/traces.
 *
 * @returns a string that says in one line what is wrong with the parameters
 */
export function tracesQuery(given: Given): Extract<Query, { type: 'traces' }> | string {
  const values = read(PARAMETERS, given)
  if (typeof values === 'string') return values
  const { limit = LIMITS.defaultTraces, before, service, since } = values
  return { type: 'traces', limit, before, service, since } as Extract<Query, { type: 'traces' }>
}

/** The query of /api/dead, likewise. */
export function deadQuery(given: Given): Extract<Query, { type: 'dead' }> | string {
  const values = read(DEAD_PARAMETERS, given)
  if (typeof values === 'string') return values
  const { limit = LIMITS.defaultTraces, exporter, reason } = values
  return { type: 'dead', limit, exporter, reason } as Extract<Query, { type: 'dead' }>
}

function read(
  parameters: Readonly<Record<string, Parameter<string | number>>>,
  given: Given,
): Partial<Record<string, string | number>> | string {
  const names = Object.keys(parameters)
  const values: Partial<Record<string, string | number>> = {}
  for (const [name, texts] of Object.entries(given)) {
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (parameter === undefined) {
      const meant = didYouMean(name, names)
      return `${shown(name)} is not a parameter${meant}; there are ${names.join(', ')}`
    }
    const [text = '', ...more] = texts
    if (more.length > 0) return `${name} is given more than once`
    const value = parameter.parse(text)
    if (value === undefined) return `${name}: ${shown(text)} is not ${parameter.expects}`
    values[name] = value
  }
  return values
}

function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}
