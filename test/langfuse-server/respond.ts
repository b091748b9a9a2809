import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Fault } from './types.ts'

export interface Answer {
  status: number
  body: string
  headers?: Record<string, string>
}

export function send(response: ServerResponse, answer: Answer): void {
  if (response.destroyed) return
  response.writeHead(answer.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(answer.body),
    ...answer.headers,
  })
  response.end(answer.body)
}

/** Does to an answer what the fault says. */
export async function misbehave(
  response: ServerResponse,
  fault: Fault,
  answer: Answer,
): Promise<void> {
  switch (fault.type) {
    case 'status':
      return send(response, {
        status: fault.status,
        body: fault.body ?? JSON.stringify({ message: `fault ${fault.status}` }),
        headers: {
          ...(fault.retryAfter !== undefined && { 'retry-after': String(fault.retryAfter) }),
          ...(fault.contentType && { 'content-type': fault.contentType }),
        },
      })
    case 'hang':
      return
    case 'reset':
      response.socket?.resetAndDestroy()
      return
    case 'half-body':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
      response.write('{"partialSuccess":')
      await new Promise((flushed) => setImmediate(flushed))
      response.destroy()
      return
    case 'html':
      return send(response, {
        status: 200,
        body: '<!doctype html><title>Sign in</title>',
        headers: { 'content-type': 'text/html' },
      })
    case 'slow':
      return drip(response, answer, fault.ms)
  }
}

async function drip(response: ServerResponse, answer: Answer, ms: number): Promise<void> {
  const pieces = 4
  const body = Buffer.from(answer.body.padEnd(pieces))
  response.writeHead(answer.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
  })
  response.flushHeaders()
  for (let piece = 0; piece < pieces; piece++) {
    await delay(ms / pieces)
    if (response.destroyed) return
    response.write(
      body.subarray(
        Math.floor((piece * body.length) / pieces),
        Math.floor(((piece + 1) * body.length) / pieces),
      ),
    )
  }
  response.end()
}

/** What an answered fault is recorded as. */
export function faultAnswer(fault: Fault): number | 'hang' | 'reset' {
  if (fault.type === 'status') return fault.status
  if (fault.type === 'hang' || fault.type === 'reset') return fault.type
  return 200
}
