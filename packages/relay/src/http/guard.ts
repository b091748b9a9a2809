import type { IncomingMessage } from 'node:http'
import type { Operations } from '../operations/operations.ts'

/** Paths that change something. */
export const WRITE: Readonly<Record<keyof Operations, string>> = {
  retryDead: '/api/dead/retry',
  dropDead: '/api/dead/drop',
  replay: '/api/replay',
}
/** Where OTLP is taken in; the second one is where Langfuse's SDKs send to. */
export const OTLP_PATHS: readonly string[] = ['/v1/traces', '/api/public/otel/v1/traces']
export const IMPORT_PATH = '/api/import'

const JSON_BODY = 'application/json'
/** What may be sent where: none of it can be sent by a form, or by a page without leave. */
const BODIES: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ...Object.values(WRITE).map((path) => [path, [JSON_BODY]] as const),
  ...OTLP_PATHS.map((path) => [path, ['application/x-protobuf', JSON_BODY]] as const),
  [IMPORT_PATH, ['application/x-ndjson']],
])

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** Names of this machine's own loopback, whichever port: a rebinding attacker comes with a name of his. */
const LOCAL = ['localhost', '127.0.0.1', '[::1]']

/**
 * Whether a request may be answered at all. A web page in the user's browser can reach a local port: by its own
 * requests (the browser says `cross-site`), or, once its name resolves to 127.0.0.1, as same-origin ones; then only
 * the Host header tells.
 *
 * @param allowed further host names, lower case
 */
export function refuse(request: IncomingMessage, allowed: readonly string[]): Refusal | undefined {
  const hosts = headerValues(request, 'host')
  const host = hosts.length === 1 ? hostName(hosts[0]!) : undefined
  if (host === undefined || !(LOCAL.includes(host) || allowed.includes(host))) {
    return {
      status: 421,
      code: 'host_not_allowed',
      message: 'this Host is not served; http.allowed-hosts allows further ones',
    }
  }
  // A proxy's form of the target would name another host.
  if (!request.url?.startsWith('/')) {
    return { status: 400, code: 'bad_request', message: 'the request target must be a path' }
  }
  if (request.headers['sec-fetch-site'] === 'cross-site') {
    return { status: 403, code: 'cross_site', message: 'not for pages of other sites' }
  }
  return request.method === 'GET' || request.method === 'HEAD' ? undefined : refuseWrite(request)
}

/**
 * Whether something may be changed. A form, or a page's request without leave, can have any type of body but ours: for
 * those the browser asks first, which is refused. One that comes from a page all the same says from which.
 */
function refuseWrite({ method, url, headers }: IncomingMessage): Refusal | undefined {
  const types = method === 'POST' ? BODIES.get(url?.split('?')[0] ?? '') : undefined
  if (types === undefined) {
    return {
      status: 405,
      code: 'method_not_allowed',
      message: `only GET and HEAD; POST at ${[...BODIES.keys()].join(', ')}`,
    }
  }
  const type = /^([a-z/+.-]+) *(;|$)/i.exec(headers['content-type'] ?? '')?.[1]?.toLowerCase()
  if (type === undefined || !types.includes(type)) {
    if (types[0] !== JSON_BODY) {
      const message = `the content-type has to be ${types.join(' or ')}`
      return { status: 415, code: 'wrong_type', message }
    }
    return {
      status: 415,
      code: 'not_json',
      message: 'the body has to be JSON, and its content-type application/json',
    }
  }
  const { origin } = headers
  if (origin === undefined || originHost(origin) === headers.host) return undefined
  return { status: 403, code: 'cross_site', message: 'not for pages of other sites' }
}

/** Host and port of an Origin header; undefined: none that has some. */
function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

/** Lower case, without port; undefined: malformed. */
function hostName(header: string): string | undefined {
  return /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/.exec(header.trim().toLowerCase())?.[1]
}

/** All values of a header: Node keeps the first of several Host headers alone. */
function headerValues({ rawHeaders }: IncomingMessage, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === name) values.push(rawHeaders[i + 1]!)
  }
  return values
}
