import type { IncomingMessage } from 'node:http'

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
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, code: 'method_not_allowed', message: 'only GET and HEAD' }
  }
  return undefined
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
