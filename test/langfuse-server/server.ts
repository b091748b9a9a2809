/**
 * A server for tests and benchmarks that takes traces as Langfuse does and keeps them for inspection.
 *
 * POST /api/public/otel/v1/traces with Basic publicKey:secretKey, POST /v1/traces without keys (a
 * plain OTLP endpoint); protobuf or JSON, gzip or not; GET /api/public/health. As with Langfuse, 200
 * means queued, one malformed span turns the whole request into a 400, wrong keys are a 401, and spans
 * are deduplicated by project, trace id, span id and start time, the newest version winning.
 * POST /api/public/scores: see scores.ts; POST and PATCH /api/public/media: media.ts; prompts.ts; projects.ts.
 * Differences: text that is not UTF-8 is refused, as proto3 demands (Langfuse replaces it), and
 * nothing is shown: no traces API.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { createCaptures } from './captures.ts'
import { countSpans } from './count-spans.ts'
import { decodeSpans } from './decode.ts'
import { createMedia } from './media.ts'
import { takeProjects } from './projects.ts'
import { takePrompt } from './prompts.ts'
import { projectOf, readBody } from './request.ts'
import { type Answer, faultAnswer, misbehave, send } from './respond.ts'
import { createScores, SCORES_PATH } from './scores.ts'
import type { CapturedRequest, LangfuseServer, LangfuseServerOptions } from './types.ts'

const langfusePath = '/api/public/otel/v1/traces'
const plainPath = '/v1/traces'

/** Starts the server on 127.0.0.1. Rejects when the port is taken. */
export async function startLangfuseServer(
  options: LangfuseServerOptions = {},
): Promise<LangfuseServer> {
  const captures = createCaptures()
  const { requests, duplicates, spans, waitForSpans, waitFor, stats } = captures
  const scores = createScores(options, () => live.projects, captures)
  const media = createMedia(options, () => live.projects, captures)
  let faults = options.faults
  let faultsFrom = 1
  let lastNumber = 0

  async function takeTraces(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
  ): Promise<void> {
    const number = ++lastNumber
    const fault = typeof faults === 'function' ? faults(number) : faults?.[number - faultsFrom]
    const captured: CapturedRequest = {
      number,
      path,
      headers: request.headers,
      project: path === plainPath ? '' : projectOf(request.headers.authorization, live.projects),
      body: Buffer.alloc(0),
      encodedBytes: 0,
      decodedBytes: 0,
      spans: [],
      spanCount: 0,
      accepted: false,
      answer: 200,
      at: 0,
    }
    const interrupted = (reason: string): void => {
      captures.add({ ...captured, answer: 'reset', reason, at: performance.now() })
    }
    if (fault?.type === 'reset' && fault.when === 'headers') {
      request.socket.resetAndDestroy()
      return interrupted('fault reset')
    }
    const body = await readBody(request, live.maxBodyBytes)
    if (body === undefined) return interrupted('client gave up')

    captured.at = performance.now()
    captured.encodedBytes = body.length
    const answer = await judge(captured, body.bytes)
    // A fault without `accept` stands for something in front of Langfuse, which saw no request then.
    const reached = fault === undefined || fault.type === 'slow' || fault.accept === true
    captured.accepted = reached && answer.status === 200
    captured.answer = fault && fault.type !== 'slow' ? faultAnswer(fault) : answer.status
    if (!reached) captured.reason = `fault ${fault.type}`
    // Stored first, answered then: who dies in between finds its resend counted as a duplicate.
    captures.add(captured)

    if (live.latencyMs > 0) await delay(live.latencyMs)
    if (fault) await misbehave(response, fault, answer)
    else send(response, answer)
  }

  /** What Langfuse would answer; fills in what it learns about the request. */
  async function judge(captured: CapturedRequest, body: Buffer | undefined): Promise<Answer> {
    const refuse = (status: number, reason: string): Answer => {
      captured.reason = reason
      return { status, body: JSON.stringify({ message: reason }) }
    }
    if (body === undefined) return refuse(413, 'body too large')
    if (!options.countOnly) captured.body = body
    if (captured.project === undefined) return refuse(401, 'invalid credentials')

    const encoding = captured.headers['content-encoding'] ?? 'identity'
    if (encoding !== 'gzip' && encoding !== 'identity') {
      return refuse(400, `unknown content-encoding ${encoding}`)
    }
    let plain = body
    if (encoding === 'gzip') {
      try {
        plain = await gunzipAsync(body, { maxOutputLength: live.maxBodyBytes })
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
          ? refuse(413, 'body too large after decompression')
          : refuse(400, 'cannot decompress the body')
      }
    }
    captured.decodedBytes = plain.length

    const type = captured.headers['content-type']?.toLowerCase() ?? ''
    if (!type.includes('application/json') && !type.includes('application/x-protobuf')) {
      return refuse(400, `invalid content type ${type}`)
    }
    const version = captured.headers['x-langfuse-ingestion-version']
    if (version !== undefined && !(Number(version) <= 4)) {
      return refuse(400, `unsupported x-langfuse-ingestion-version ${version}`)
    }
    try {
      if (options.countOnly) captured.spanCount = countSpans(plain, type)
      else {
        captured.spans = decodeSpans(plain, type, captured.project, captured.number)
        captured.spanCount = captured.spans.length
      }
    } catch (error) {
      return refuse(400, (error as Error).message)
    }
    for (const span of captured.spans) {
      const reason = live.rejectSpan?.(span)
      if (reason !== undefined) return refuse(400, reason)
    }
    // Langfuse answers in JSON even to protobuf, an OTLP endpoint in the request's own encoding.
    return captured.path === plainPath && type.includes('protobuf')
      ? { status: 200, body: '', headers: { 'content-type': 'application/x-protobuf' } }
      : { status: 200, body: '{}' }
  }

  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    const route = `${request.method} ${path}`
    if (route === `POST ${langfusePath}` || route === `POST ${plainPath}`) {
      void takeTraces(request, response, path)
      return
    }
    if (route === `POST ${SCORES_PATH}`) {
      void scores.take(request, response)
      return
    }
    if (media.take(request, response)) return
    if (takeProjects(request, response, path, live.projects)) return
    if (takePrompt(request, response, path, live.projects, live.latencyMs)) return
    request.resume()
    if (route === 'GET /api/public/health') {
      send(response, { status: 200, body: '{"status":"OK","version":"4.16.0"}' })
    } else if (options.control && route === 'GET /__stats') {
      send(response, { status: 200, body: JSON.stringify(stats()) })
    } else if (options.control && route === 'GET /__requests') {
      send(response, { status: 200, body: JSON.stringify(requestLines(requests)) })
    } else if (options.control && route === 'POST /__latency') {
      live.latencyMs = Number(new URL(url + request.url).searchParams.get('ms'))
      send(response, { status: 200, body: '{}' })
    } else if (options.control && route === 'POST /__clear') {
      live.clear()
      send(response, { status: 200, body: '{}' })
    } else {
      send(response, { status: 404, body: '{"message":"not found"}' })
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`

  const live: LangfuseServer = {
    url,
    port,
    otlpUrl: url + plainPath,
    projects: new Map(Object.entries(options.projects ?? { 'pk-lf-test': 'sk-lf-test' })),
    requests,
    duplicates,
    get received() {
      return captures.received
    },
    latencyMs: options.latencyMs ?? 0,
    maxBodyBytes: options.maxBodyBytes ?? 512 * 1024 * 1024,
    rejectSpan: options.rejectSpan,
    get faults() {
      return faults
    },
    set faults(script) {
      faults = script
      faultsFrom = lastNumber + 1
    },
    spans,
    scores: scores.live,
    media: media.live,
    waitForSpans,
    waitFor,
    stats,
    clear() {
      captures.clear()
      scores.clear()
      media.clear()
      lastNumber = 0
      faultsFrom = 1
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
  return live
}

const gunzipAsync = promisify(gunzip)

/** Of each request: when its body was there (ms since 1970), bytes as sent and decompressed, spans. */
function requestLines(requests: readonly CapturedRequest[]): number[][] {
  return requests.map(({ at, encodedBytes, decodedBytes, spanCount }) => [
    Math.round((performance.timeOrigin + at) * 10) / 10,
    encodedBytes,
    decodedBytes,
    spanCount,
  ])
}
