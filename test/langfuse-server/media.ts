/**
 * Media as Langfuse takes them. POST /api/public/media names content by its hash and where it stands; the answer's
 * uploadUrl, on this server, is null when the project has it. PUT there, without keys, takes content of the promised length
 * and hash; PATCH /api/public/media/{id} says that it is there, and from then on it is.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Captures } from './captures.ts'
import { projectOf, readBody } from './request.ts'
import { type Answer, faultAnswer, misbehave, send } from './respond.ts'
import type {
  CapturedMediaRequest,
  LangfuseMedia,
  LangfuseServerOptions,
  StoredMedia,
} from './types.ts'

const MEDIA_PATH = '/api/public/media'
const UPLOAD_PATH = '/upload/'
const FIELDS = ['input', 'output', 'metadata']
const MAX_BODY_BYTES = 256 * 1024 * 1024

export interface MediaApi {
  readonly live: LangfuseMedia
  /** False: the request is for somebody else. */
  take(request: IncomingMessage, response: ServerResponse): boolean
  clear(): void
}

type Stored = { -readonly [K in keyof StoredMedia]: StoredMedia[K] }

export function createMedia(
  options: LangfuseServerOptions,
  projects: () => ReadonlyMap<string, string>,
  captures: Pick<Captures, 'wake' | 'waitFor'>,
): MediaApi {
  const requests: CapturedMediaRequest[] = []
  const stored = new Map<string, Stored>()
  /** What may be put where. */
  const uploads = new Map<string, Stored>()

  const live: LangfuseMedia = {
    requests,
    faults: options.media?.faults,
    reject: options.media?.reject,
    storage: undefined,
    all: (project) =>
      [...stored.values()].filter(
        (one) => one.uploadHttpStatus === 200 && (project === undefined || one.project === project),
      ),
    async waitFor(count, timeoutMs) {
      await captures.waitFor(() => live.all().length >= count, timeoutMs)
      return live.all()
    },
  }

  const take = (request: IncomingMessage, response: ServerResponse): boolean => {
    const { method, url = '' } = request
    const isAsk = method === 'POST' && url === MEDIA_PATH
    const isDone = method === 'PATCH' && url.startsWith(`${MEDIA_PATH}/`)
    const isUpload = method === 'PUT' && url.startsWith(UPLOAD_PATH)
    if (!isAsk && !isDone && !isUpload) return false
    void answer(request, response, isUpload)
    return true
  }

  const answer = async (
    request: IncomingMessage,
    response: ServerResponse,
    isUpload: boolean,
  ): Promise<void> => {
    const { headers } = request
    const method = request.method as CapturedMediaRequest['method']
    const body = await readBody(request, MAX_BODY_BYTES)
    if (body === undefined) return
    const captured: CapturedMediaRequest = {
      method,
      headers,
      project: isUpload ? '' : projectOf(headers.authorization, projects()),
      content: isUpload ? undefined : parsed(body.bytes),
      bytes: body.length,
      answer: 200,
    }
    const fault = live.faults?.(method, requests.filter((one) => one.method === method).length + 1)
    const reached = fault === undefined || fault.type === 'slow' || fault.accept === true
    let judged: Answer = { status: 200, body: '' }
    if (reached) {
      if (method === 'PUT') judged = put(request, body.bytes ?? Buffer.alloc(0))
      else if (method === 'POST') judged = ask(captured, `http://${headers.host}`)
      else judged = done(captured, (request.url ?? '').slice(MEDIA_PATH.length + 1))
    }
    captured.answer = fault && fault.type !== 'slow' ? faultAnswer(fault) : judged.status
    requests.push(captured)
    captures.wake()
    if (fault) await misbehave(response, fault, judged)
    else send(response, judged)
  }

  const ask = ({ project, content }: CapturedMediaRequest, base: string): Answer => {
    if (project === undefined) return say(401, { message: 'Invalid credentials' })
    const fault = faultOf(content)
    if (fault !== undefined) return say(400, { message: 'Invalid request data', error: fault })
    const { sha256Hash, contentType, contentLength, traceId, observationId, field } =
      content as Record<string, string>
    const message = live.reject?.(content as Record<string, unknown>)
    if (message !== undefined) return say(400, { message })
    const mediaId = sha256Hash!.replaceAll('+', '-').replaceAll('/', '_').slice(0, 22)
    const key = `${project} ${mediaId}`
    const known: Stored = stored.get(key) ?? {
      project,
      mediaId,
      sha256Hash: sha256Hash!,
      contentType: contentType!,
      contentLength: Number(contentLength),
      content: Buffer.alloc(0),
      puts: 0,
      uploadHttpStatus: 0,
      places: [],
    }
    stored.set(key, known)
    const place = `${traceId} ${observationId ?? ''} ${field}`
    if (!known.places.includes(place)) known.places = [...known.places, place]
    if (known.uploadHttpStatus === 200) return say(201, { mediaId, uploadUrl: null })
    const upload = UPLOAD_PATH + randomUUID()
    uploads.set(upload, known)
    return say(201, {
      mediaId,
      uploadUrl: `${live.storage ?? base}${upload}?signature=secret-of-the-url`,
    })
  }

  const put = (request: IncomingMessage, content: Buffer): Answer => {
    const { headers, url = '' } = request
    const known = uploads.get(url.split('?')[0]!)
    const hash = createHash('sha256').update(content).digest('base64')
    if (known === undefined || headers.authorization !== undefined) return denied('AccessDenied')
    if (headers['content-type'] !== known.contentType) return denied('SignatureDoesNotMatch')
    if (content.length !== known.contentLength || hash !== known.sha256Hash) {
      return { status: 400, body: '<Error><Code>BadDigest</Code></Error>' }
    }
    if (headers['x-amz-checksum-sha256'] !== hash) return denied('MissingChecksum')
    known.content = content
    known.puts++
    return { status: 200, body: '' }
  }

  const done = ({ project, content }: CapturedMediaRequest, mediaId: string): Answer => {
    if (project === undefined) return say(401, { message: 'Invalid credentials' })
    const known = stored.get(`${project} ${mediaId}`)
    if (known === undefined) return say(404, { message: 'Media asset not found' })
    const { uploadedAt, uploadHttpStatus } = content ?? {}
    if (!/^\d{4}-.*Z$/.test(String(uploadedAt)) || typeof uploadHttpStatus !== 'number') {
      return say(400, { message: 'Invalid request data' })
    }
    known.uploadHttpStatus = uploadHttpStatus
    return say(200, {})
  }

  return {
    live,
    take,
    clear() {
      requests.length = 0
      stored.clear()
      uploads.clear()
    },
  }
}

function say(status: number, content: object): Answer {
  return { status, body: JSON.stringify(content) }
}

/** As S3 says it. */
function denied(code: string): Answer {
  const body = `<Error><Code>${code}</Code><SignatureProvided>secret-of-the-url</SignatureProvided></Error>`
  return { status: 403, body, headers: { 'content-type': 'application/xml' } }
}

function parsed(body: Buffer | undefined): Record<string, unknown> | undefined {
  try {
    return JSON.parse(String(body))
  } catch {
    return undefined
  }
}

function faultOf(content: Readonly<Record<string, unknown>> | undefined): string | undefined {
  if (content === undefined) return 'Invalid JSON'
  const { traceId, observationId, contentType, contentLength, sha256Hash, field } = content
  if (typeof traceId !== 'string') return 'traceId: expected string'
  if (observationId !== undefined && typeof observationId !== 'string') return 'observationId'
  if (!/^[\w.+-]+\/[\w.+-]+$/.test(String(contentType))) return 'contentType: invalid'
  if (!Number.isInteger(contentLength) || (contentLength as number) < 1) return 'contentLength'
  if (!/^[A-Za-z0-9+/]{43}=$/.test(String(sha256Hash))) return 'sha256Hash: invalid'
  return FIELDS.includes(String(field)) ? undefined : 'field: invalid'
}
