import { promisify } from 'node:util'
import { gzip as compress } from 'node:zlib'
import type { Send } from './http.ts'

const gzipAsync = promisify(compress)

/** Compresses bodies on libuv's threads, once however often the next layer sends them. */
export function gzip(next: Send, level: number): Send {
  return async (request, signal) => {
    const body = await gzipAsync(request.body, { level })
    return next(
      { ...request, body, headers: { ...request.headers, 'content-encoding': 'gzip' } },
      signal,
    )
  }
}

/** Whether a URL's host is this machine, where compressing costs more than it saves. */
export function isLoopback(url: URL): boolean {
  const host = url.hostname
  return (
    host === 'localhost' ||
    host === '[::1]' ||
    /^127(\.\d+){3}$/.test(host) ||
    host.endsWith('.localhost')
  )
}

/** As the option export.gzip says it. */
export type GzipMode = 'auto' | 'always' | 'never'

/** Whether requests to a URL are compressed. */
export function isCompressed(mode: GzipMode, url: URL): boolean {
  return mode === 'always' || (mode === 'auto' && !isLoopback(url))
}
