import { type CollectedObservation, collectObservations } from '@offpath/sdk/testing'
import { expect } from 'vitest'
import { type SimulatorOptions, startSimulator } from '../vllm-simulator/server.ts'
import type { ChatApiOptions } from './config.ts'
import { startChatApi } from './server.ts'

/** The observations of one request to the chat API. */
export interface RequestTrace {
  root: CollectedObservation
  generations: CollectedObservation[]
  complete: CollectedObservation
  /** The metadata of `complete`. */
  times: { status: number; total_ms: number; upstream_ms: number; loop_stall_ms: number }
}

interface Options {
  simulator?: SimulatorOptions
  api?: ChatApiOptions
}

/**
 * Starts simulator and chat API, lets `talk` use the API, closes both, and returns the traces that
 * were recorded meanwhile, in the order of their starts. Nothing may be left open.
 */
export async function tracesOf(
  talk: (url: string) => Promise<void>,
  { simulator = {}, api = {} }: Options = {},
): Promise<RequestTrace[]> {
  using collected = collectObservations()
  const upstream = await startSimulator({ ttftMs: 5, tokensPerSecond: 0, ...simulator })
  const server = await startChatApi({ port: 0, upstreamUrl: upstream.url, ...api })
  try {
    await talk(server.url)
  } finally {
    await server.close()
    await upstream.close()
  }
  expect(collected.open).toEqual([])
  const all = collected.finished
  return all
    .filter(({ parentSpanId }) => parentSpanId === null)
    .map((root) => {
      const children = all.filter(({ parentSpanId }) => parentSpanId === root.spanId)
      const generations = children.filter(({ type }) => type === 'generation')
      const complete = only(children.filter(({ type }) => type === 'event'))
      return { root, generations, complete, times: complete.metadata as RequestTrace['times'] }
    })
}

/** The same where `talk` makes one request. */
export async function traceOf(
  talk: (url: string) => Promise<void>,
  options?: Options,
): Promise<RequestTrace> {
  return only(await tracesOf(talk, options))
}

function only<T>(list: T[]): T {
  const [item] = list
  if (item === undefined || list.length > 1) throw new Error(`one was expected, not ${list.length}`)
  return item
}

export const messages: object[] = [{ role: 'user', content: 'Kho ở Đà Nẵng mở cửa lúc mấy giờ?' }]

export function ask(
  url: string,
  body: object = {},
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${url}/api/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ messages, ...body }),
  })
}

/** The data of a stream's events, parsed where it is JSON. */
export function eventsOf(text: string): unknown[] {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice(6))
    .map((data) => (data === '[DONE]' ? data : JSON.parse(data)))
}

/** All three observations tell the same level and cause; the event has the status. */
export function expectOutcome(
  trace: RequestTrace | undefined,
  status: number,
  level: 'WARNING' | 'ERROR',
  statusMessage: string | RegExp,
): void {
  const said = { level, statusMessage: expect.stringMatching(statusMessage) }
  expect(trace?.root).toMatchObject(said)
  expect(trace?.complete).toMatchObject({ ...said, metadata: { status } })
  for (const generation of trace?.generations ?? []) expect(generation).toMatchObject(said)
}
