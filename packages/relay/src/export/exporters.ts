import { type Dialect, javascript5 } from './langfuse.ts'

/** A destination: where spans go, as whose, and in what dialect. */
export interface Exporter {
  readonly name: string
  readonly url: URL
  readonly dialect: Dialect
  /** Texts that must not show in messages, longest first. */
  readonly secrets: readonly string[]
  /** Whether there are several lanes with headers. */
  readonly several: boolean
  /** Which spans may share a request: the same key for spans of the same headers. */
  laneOf(project: string | null): string
  /** Headers of a lane's requests; null when the configuration has no keys for it. */
  headersOf(lane: string): Readonly<Record<string, string>> | null
  /** Where scores go, in the same lanes; null: it takes none. */
  readonly scores: ScoreTarget | null
}

export interface ScoreTarget {
  readonly url: URL
  headersOf(lane: string): Readonly<Record<string, string>> | null
}

/** Keys of a Langfuse project. */
export interface ProjectKeys {
  readonly publicKey: string
  readonly secretKey: string
}

const PROTOBUF = { 'content-type': 'application/x-protobuf' }
/** Langfuse's span pipeline of its own; without it Langfuse Cloud delays spans by up to ten minutes. */
const INGESTION_VERSION = '4'

/**
 * Langfuse: POST {baseUrl}/api/public/otel/v1/traces, scores to {baseUrl}/api/public/scores. Spans that name a project go with its keys, all
 * others with `keys`.
 */
export function langfuseExporter(options: {
  readonly baseUrl: URL
  readonly keys: ProjectKeys | null
  readonly projects: Readonly<Record<string, ProjectKeys>>
}): Exporter {
  const dialect = javascript5
  const lanes = new Map<string, Readonly<Record<string, string>>>()
  const scoreLanes = new Map<string, Readonly<Record<string, string>>>()
  const secrets: string[] = []
  const add = (lane: string, { publicKey, secretKey }: ProjectKeys): void => {
    const token = Buffer.from(`${publicKey}:${secretKey}`).toString('base64')
    secrets.push(secretKey, token)
    const keys = { authorization: `Basic ${token}`, 'x-langfuse-public-key': publicKey }
    scoreLanes.set(lane, { 'content-type': 'application/json', ...keys })
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
  return {
    name: 'langfuse',
    url: new URL(`${base}/api/public/otel/v1/traces`),
    dialect,
    secrets: longestFirst(secrets),
    several: lanes.size > 1,
    laneOf: (project) => project ?? '',
    headersOf: (lane) => lanes.get(lane) ?? null,
    scores: {
      url: new URL(`${base}/api/public/scores`),
      headersOf: (lane) => scoreLanes.get(lane) ?? null,
    },
  }
}

/** Any endpoint that takes OTLP as protobuf over HTTP; a URL without a path gets /v1/traces. */
export function otlpExporter(options: {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}): Exporter {
  const url = new URL(options.url)
  if (url.pathname === '/') url.pathname = '/v1/traces'
  const headers = { ...options.headers, ...PROTOBUF }
  return {
    name: 'otlp',
    url,
    dialect: javascript5,
    secrets: longestFirst(Object.values(options.headers).flatMap(secretParts)),
    several: false,
    laneOf: () => '',
    headersOf: () => headers,
    scores: null,
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
