import type { IncomingHttpHeaders } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import type { ChatApiConfig } from './config.ts'

export interface Upstream {
  /** Posts a chat request. The promise settles with the response's headers; its body streams. */
  post(
    body: object,
    headers: IncomingHttpHeaders,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData>
  close(): Promise<void>
}

/** A pool of connections to vLLM. A signal that aborts drops its call's connection at once. */
export function connectUpstream(config: ChatApiConfig): Upstream {
  const { origin, pathname } = new URL(config.upstreamUrl)
  const path = `${pathname.replace(/(\/v1)?\/?$/, '')}/v1/chat/completions`
  const pool = new Pool(origin, {
    headersTimeout: config.upstreamTimeoutMs,
    bodyTimeout: config.upstreamTimeoutMs,
    connect: { timeout: config.upstreamTimeoutMs },
  })
  const own: Record<string, string> = { 'content-type': 'application/json' }
  if (config.upstreamKey) own.authorization = `Bearer ${config.upstreamKey}`

  return {
    post: (body, headers, signal) =>
      pool.request({
        method: 'POST',
        path,
        headers: { ...passedOn(headers), ...own },
        body: JSON.stringify(body),
        signal,
      }),
    close: () => pool.destroy(),
  }
}

/** The request's id, and the wishes of a client that tests against the simulator. */
function passedOn(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => name === 'x-request-id' || name.startsWith('x-sim-'),
    ),
  )
}
