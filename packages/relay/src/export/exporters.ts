import type { HeldScore } from '../store/scores.ts'
import type { StoredSpan } from '../store/span.ts'
import type { Clock } from './clock.ts'
import type { Encoder, EncodingOptions } from './encoder.ts'
import { type GzipMode, isCompressed } from './gzip.ts'
import { type Attempt, openEndpoint, type Request, type Sender, shownUrl } from './http.ts'
import { type Dialect, javascript5 } from './langfuse.ts'
import { createEncoder } from './otlp.ts'
import { arraysIfTaken, scoreComplaint, scoreRequest } from './score-request.ts'

/** A destination: where spans go, as whose, in what form and by what way. */
export interface Exporter {
  readonly name: string
  /** Where to, for people: without keys, and without a query, which may hold one. */
  readonly target: string
  /** Texts that must not show in messages, longest first. */
  readonly secrets: readonly string[]
  /** Whether there are several lanes with headers. */
  readonly several: boolean
  /** Of a request before compression; undefined: as configured for all. */
  readonly requestBytes?: number
  /** Which spans may share a request: the same key for spans of the same headers. */
  laneOf(span: Pick<StoredSpan, 'project' | 'traceId'>): string
  /** Headers of a lane's requests; null when the configuration has no keys for it. */
  headersOf(lane: string): Readonly<Record<string, string>> | null
  compresses(mode: GzipMode): boolean
  createEncoder(options: EncodingOptions): Encoder
  open(options: Opening): Sender
  /** Where scores go, a lane for each project; null: it takes none. */
  readonly scores: ScoreTarget | null
  /** Where media go, in the same lanes; null: they stay in the spans. */
  readonly media: JsonTarget | null
}

export interface Opening {
  /** For one attempt. */
  readonly timeoutMs: number
  readonly clock: Clock
  onAttempt(attempt: Attempt): void
}

/** OTLP over HTTP, in a dialect. */
export interface HttpExporter extends Exporter {
  readonly url: URL
}

/** Where scores go, in what form and by what way. */
export interface ScoreTarget {
  /** For people, as that of spans. */
  readonly target: string
  /** Of a request: scores, and bytes, or a single score. */
  readonly most: { readonly count: number; readonly maxBytes: number }
  /** Headers of a project's requests; null when the configuration has no keys for it. */
  headersOf(project: string): Readonly<Record<string, string>> | null
  requestOf(headers: Readonly<Record<string, string>>, scores: readonly HeldScore[]): Request
  open(opening: Opening): Sender
}

/** An API that takes JSON. */
export interface JsonTarget {
  readonly url: URL
  headersOf(lane: string): Readonly<Record<string, string>> | null
}

/** Keys of a Langfuse project. */
export interface ProjectKeys {
  readonly publicKey: string
  readonly secretKey: string
}

/** Langfuse's own SDK keeps to the same bytes: the endpoint takes 1 MiB by default. */
const SCORES_MOST = { count: 100, maxBytes: 1_000_000 }

const PROTOBUF = { 'content-type': 'application/x-protobuf' }
/** Langfuse's span pipeline of its own; without it Langfuse Cloud delays spans by up to ten minutes. */
const INGESTION_VERSION = '4'

/**
 * Langfuse: POST {baseUrl}/api/public/otel/v1/traces, scores to {baseUrl}/api/public/scores, media by way of
 * {baseUrl}/api/public/media. Spans that name a project go with its keys, all others with `keys`.
 */
export function langfuseExporter(options: {
  readonly baseUrl: URL
  readonly keys: ProjectKeys | null
  readonly projects: Readonly<Record<string, ProjectKeys>>
  /** Default: true. */
  readonly uploadMedia?: boolean
}): HttpExporter {
  const dialect = javascript5
  const lanes = new Map<string, Readonly<Record<string, string>>>()
  const jsonLanes = new Map<string, Readonly<Record<string, string>>>()
  const secrets: string[] = []
  const add = (lane: string, { publicKey, secretKey }: ProjectKeys): void => {
    const token = Buffer.from(`${publicKey}:${secretKey}`).toString('base64')
    secrets.push(secretKey, token)
    const keys = { authorization: `Basic ${token}`, 'x-langfuse-public-key': publicKey }
    jsonLanes.set(lane, { 'content-type': 'application/json', ...keys })
    lanes.set(lane, {
      ...PROTOBUF,
      ...dialect.headers,
      ...keys,
      'x-langfuse-ingestion-version': INGESTION_VERSION,
    })
  }
  if (options.keys !== null) add('', options.keys)
  for (const [project, keys] of Object.entries(options.projects)) add(project, keys)
  const base = options.baseUrl.href.replace(/[?#].*$/, '').replace(/\/+$/, '')
  const jsonTarget = (path: string): JsonTarget => ({
    url: new URL(`${base}/api/public/${path}`),
    headersOf: (lane) => jsonLanes.get(lane) ?? null,
  })
  const overOtlp = overHttp(new URL(`${base}/api/public/otel/v1/traces`), dialect, secrets)
  return {
    name: 'langfuse',
    ...overOtlp,
    several: lanes.size > 1,
    laneOf: ({ project }) => project ?? '',
    headersOf: (lane) => lanes.get(lane) ?? null,
    scores: scoresOverHttp(jsonTarget('scores'), overOtlp.secrets),
    media: options.uploadMedia === false ? null : jsonTarget('media'),
  }
}

/** Any endpoint that takes OTLP as protobuf over HTTP; a URL without a path gets /v1/traces. */
export function otlpExporter(options: {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}): HttpExporter {
  const url = new URL(options.url)
  if (url.pathname === '/') url.pathname = '/v1/traces'
  const headers = { ...options.headers, ...PROTOBUF }
  return {
    name: 'otlp',
    ...overHttp(url, javascript5, Object.values(options.headers).flatMap(secretParts)),
    several: false,
    laneOf: () => '',
    headersOf: () => headers,
    scores: null,
    media: null,
  }
}

/** What all that speak OTLP over HTTP have alike. */
function overHttp(
  url: URL,
  dialect: Dialect,
  texts: readonly string[],
): Pick<HttpExporter, 'url' | 'target' | 'secrets' | 'compresses' | 'createEncoder' | 'open'> {
  const secrets = longestFirst(texts)
  return {
    url,
    target: shownUrl(url),
    secrets,
    compresses: (mode) => isCompressed(mode, url),
    createEncoder: (options) => createEncoder({ dialect, ...options }),
    open({ timeoutMs, clock, onAttempt }) {
      const { post, close } = openEndpoint({ url, timeoutMs, secrets, now: clock.now, onAttempt })
      return { send: post, close }
    },
  }
}

function scoresOverHttp(api: JsonTarget, secrets: readonly string[]): ScoreTarget {
  const { url, headersOf } = api
  return {
    target: shownUrl(url),
    most: SCORES_MOST,
    headersOf,
    requestOf: scoreRequest,
    open({ timeoutMs, clock, onAttempt }) {
      const { post, close } = openEndpoint({
        url,
        timeoutMs,
        secrets,
        now: clock.now,
        complaint: scoreComplaint,
        onAttempt,
      })
      return { send: arraysIfTaken(post, clock), close }
    },
  }
}

/** A header's value and its words: `Bearer abc` must not show as `Bearer abc`, nor as `abc`. */
function secretParts(value: string): string[] {
  // Shorter ones are no secrets, and hiding each "1" would make messages unreadable.
  return [value, ...value.split(/\s+/)].filter((part) => part.length >= 8)
}

function longestFirst(texts: readonly string[]): string[] {
  return [...new Set(texts)].filter((text) => text !== '').sort((a, b) => b.length - a.length)
}
