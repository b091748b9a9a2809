// OTLP over HTTP, as https://opentelemetry.io/docs/specs/otlp/ has it: answers have the request's encoding, errors are a
// google.rpc.Status, what can be sent again later is told by 429 and 503 with Retry-After.
import type { Context, Hono } from 'hono'
import { writeText, writeVarint } from '../export/protobuf.ts'
import { fromJson } from '../otlp/from-json.ts'
import { fromProtobuf } from '../otlp/from-protobuf.ts'
import type { Intake } from '../receivers/otlp/intake.ts'
import { type Bodies, refusalOf } from './body.ts'
import { OTLP_PATHS } from './guard.ts'

/** Of a request, also unpacked. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024
const RETRY_AFTER_SECONDS = 5

export interface OtlpReceiver {
  readonly intake: Intake
  readonly bodies: Bodies
  /** The project whose public key this is; null: none of ours. */
  projectOf(publicKey: string): string | null
  onRefused(reason: string): void
}

/** @param receiver a text: spans are not received, and why */
export function addOtlp(app: Hono, receiver: OtlpReceiver | string): void {
  for (const path of OTLP_PATHS) {
    app.post(path, async (c) => {
      if (typeof receiver === 'string') return statusAnswer(c, 404, receiver)
      return receive(c, receiver)
    })
  }
}

async function receive(c: Context, receiver: OtlpReceiver): Promise<Response> {
  const { intake, bodies, onRefused } = receiver
  try {
    const busy = intake.busy(true)
    if (busy !== null) throw busy
    return await bodies.withBody(c.req.raw, MAX_REQUEST_BYTES, (body) => {
      const request = isJson(c) ? fromJson(body) : fromProtobuf(body)
      const received = intake.read(request, projectOf(c, receiver))
      intake.take([received], { way: 'otlp', deliver: true })
      const { rejected, message } = received
      const count = Object.values(rejected).reduce((sum, of) => sum + of, 0)
      return answer(c, count, message)
    })
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal === null) throw error
    onRefused(refusal.reason)
    return statusAnswer(c, refusal.status, refusal.message)
  }
}

export const REFUSALS = ['malformed', 'too_large', 'busy', 'full', 'backlog', 'store'] as const

/** Langfuse's SDKs say by their public key which project they record for. */
function projectOf(c: Context, { projectOf: find }: OtlpReceiver): string | null {
  const [publicKey] = basicOf(c) ?? []
  return publicKey === undefined ? null : find(publicKey)
}

/** Name and password of Basic authentication, as Langfuse's SDKs send their keys. */
export function basicOf(c: Context): [name: string, password: string] | undefined {
  const given = /^basic +([a-z\d+/=]{1,4096})$/i.exec(c.req.header('authorization') ?? '')?.[1]
  if (given === undefined) return undefined
  const text = Buffer.from(given, 'base64').toString()
  const at = text.indexOf(':')
  return at === -1 ? undefined : [text.slice(0, at), text.slice(at + 1)]
}

function isJson(c: Context): boolean {
  return /^application\/json/i.test(c.req.header('content-type') ?? '')
}

function send(c: Context, status: number, json: object, protobuf: Buffer): Response {
  const body = isJson(c) ? Buffer.from(JSON.stringify(json)) : protobuf
  const type = isJson(c) ? 'application/json' : 'application/x-protobuf'
  const headers: Record<string, string> = { 'content-type': type }
  if (status === 429 || status === 503) headers['retry-after'] = String(RETRY_AFTER_SECONDS)
  return new Response(new Uint8Array(body), { status, headers })
}

/** ExportTraceServiceResponse { partial_success = 1: { rejected_spans = 1, error_message = 2 } }; nothing wrong: empty. */
function answer(c: Context, rejectedSpans: number, errorMessage: string): Response {
  if (rejectedSpans === 0 && errorMessage === '') return send(c, 200, {}, Buffer.alloc(0))
  const inner = Buffer.alloc(32 + 3 * errorMessage.length)
  let at = 0
  if (rejectedSpans > 0) {
    inner[at++] = 0x08
    at = writeVarint(inner, at, rejectedSpans)
  }
  at = writeText(inner, at, 0x12, errorMessage)
  const head = Buffer.alloc(6)
  head[0] = 0x0a
  const length = writeVarint(head, 1, at)
  const protobuf = Buffer.concat([head.subarray(0, length), inner.subarray(0, at)])
  const partialSuccess = { rejectedSpans: String(rejectedSpans), errorMessage }
  return send(c, 200, { partialSuccess }, protobuf)
}

/** Codes of gRPC by HTTP status. */
const CODES: Readonly<Record<number, number>> = {
  400: 3,
  401: 16,
  404: 12,
  413: 3,
  415: 3,
  429: 8,
  503: 14,
}

/** google.rpc.Status { code = 1, message = 2 } */
export function statusAnswer(c: Context, status: number, message: string): Response {
  const code = CODES[status] ?? 13
  const bytes = Buffer.alloc(32 + 3 * message.length)
  bytes[0] = 0x08
  const end = writeText(bytes, writeVarint(bytes, 1, code), 0x12, message)
  return send(c, status, { code, message }, bytes.subarray(0, end))
}
