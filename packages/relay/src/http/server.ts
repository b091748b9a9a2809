import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { refuse } from './guard.ts'

export interface HttpServer {
  /** With the actual port. */
  readonly url: string
  close(): Promise<void>
}

export interface Listen {
  readonly host: string
  readonly port: number
  /** Lower case. */
  readonly allowedHosts: readonly string[]
  onError(error: Error): void
}

const CLOSE_GRACE_MS = 1000

/** For every answer, refusals included. */
const HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

/**
 * Serves the app to allowed hosts.
 *
 * @throws Error `OFFPATH_PORT_TAKEN` or `OFFPATH_LISTEN`, with what to do in its message
 */
export async function listen(app: Hono, options: Listen): Promise<HttpServer> {
  const { host, port, allowedHosts } = options
  const hosts = isAny(host) ? allowedHosts : [...allowedHosts, urlHost(host).toLowerCase()]
  const answer = getRequestListener(app.fetch, { overrideGlobalObjects: false })
  const server = createServer(
    {
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      keepAliveTimeout: 5000,
      maxHeaderSize: 16_384,
    },
    (request, response) => {
      for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value)
      const refusal = refuse(request, hosts)
      if (refusal === undefined) return void answer(request, response)
      const { status, code, message } = refusal
      respond(response, status, { error: { code, message } })
    },
  )
  server.maxConnections = 128
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, host, port)
  }
  // accept() may fail, when descriptors run out.
  server.on('error', options.onError)
  const actual = (server.address() as AddressInfo).port
  return {
    url: `http://${urlHost(isAny(host) ? '127.0.0.1' : host)}:${actual}`,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
      await closed
      clearTimeout(timer)
    },
  }
}

function respond(response: ServerResponse, status: number, body: object): void {
  // The rest of a request that is refused unread ends with its connection.
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
  response.end(JSON.stringify(body))
}

function listenError({ code, message }: NodeJS.ErrnoException, host: string, port: number): Error {
  if (code === 'EADDRINUSE') {
    const text = `port ${port} of ${host} is taken; choose another one with --http-port (0: any free one)`
    return Object.assign(new Error(text), { code: 'OFFPATH_PORT_TAKEN' })
  }
  const text = `cannot listen on ${host} port ${port}: ${message}; see --http-host and --http-port`
  return Object.assign(new Error(text), { code: 'OFFPATH_LISTEN' })
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** As it stands in a URL: IPv6 in brackets. */
function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** Whether a host to listen on is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

/** What an API is that is reached from other machines and asks for no token. */
export const OPEN_TO_ALL =
  'open to the network: whoever reaches it sees all traces, adds some, has them sent again and drops dead letters'
