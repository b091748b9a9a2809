// The way of media to one exporter: rows of its outbox, a lane for each set of keys. For each place in a span that has
// content Langfuse is asked where it goes; only content that it has not got comes with a URL:
//
//   POST media ──▶ null: it is there
//              └─▶ URL ──PUT content──▶ noted in the row ──▶ PATCH media/{id}: it is uploaded
//
// What fails begins again with the POST, for a URL is good for a while only. Two rows of one content never go at the same
// time, so that the second is told that it is there.
import { crashPoint } from '../crash-point.ts'
import type { Log } from '../log.ts'
import type { HeldMedia, MediaOutbox, Upload } from '../store/media.ts'
import type { Clock } from './clock.ts'
import type { Exporter, JsonTarget } from './exporters.ts'
import { type Attempt, openClient, SendError, shownUrl } from './http.ts'
import { type LaneHealth, newHealth } from './lane.ts'
import { mediaId } from './media.ts'
import { type Delivery, LOCAL_ERROR_MS, Progress } from './progress.ts'
import { retry } from './retry.ts'

export interface MediaDeliveryOptions {
  readonly exporter: Exporter
  readonly target: JsonTarget
  readonly outbox: Pick<
    MediaOutbox,
    'projects' | 'next' | 'content' | 'uploaded' | 'settle' | 'trim'
  >
  readonly clock: Clock
  /** In [0, 1): for the jitter of retries. */
  readonly random: () => number
  /** On their way at a time, for each set of keys. */
  readonly concurrency: number
  /** For one attempt; one with content may take longer. */
  readonly timeoutMs: number
  /** Of what waits; beyond it the oldest is dropped. */
  readonly backlogBytes: number
  readonly onAttempt: (attempt: Attempt) => void
  readonly log: Log
}

/** The slowest line that content has to get through: 100 KB/s. */
const BYTES_PER_MS = 100
/** The backlog is summed up. */
const TRIM_MS = 10_000

interface MediaLane extends LaneHealth {
  readonly headers: Readonly<Record<string, string>>
  readonly send: (job: Job, signal: AbortSignal) => Promise<boolean>
}

interface Job {
  readonly media: HeldMedia
  /** Null: the content is not uploaded yet. */
  upload: Upload | null
}

export function startMediaDelivery(options: MediaDeliveryOptions): Delivery {
  const { exporter, target, outbox, clock, log } = options
  const { name } = exporter
  const progress = new Progress<MediaLane>({
    ...options,
    name,
    target: shownUrl(target.url),
    of: 'media',
  })
  const { lanes, underWay, stopping } = progress
  const client = openClient({
    timeoutMs: options.timeoutMs,
    secrets: exporter.secrets,
    now: clock.now,
    onAttempt: progress.onAttempt,
  })
  /** Hashes of content that is on its way, by lane: another project's keys lead to another place. */
  const busy = new Map<string, Set<string>>()
  let pumpWanted = false
  let nextTrim = 0

  const addLane = (key: string): MediaLane => {
    const headers = target.headersOf(key)
    const lane: MediaLane = {
      headers: headers ?? {},
      send: retry((job, signal) => upload(lane, job, signal), {
        clock,
        random: options.random,
        stopping,
        onRetry: (error, waitMs) => progress.failed(lane, error, waitMs),
      }),
      ...newHealth(key, headers !== null, clock.now(), 'media'),
    }
    progress.add(lane)
    busy.set(key, new Set())
    return lane
  }

  // --- one upload ---

  /** False: its content is gone. */
  const upload = async (
    { headers }: MediaLane,
    job: Job,
    signal: AbortSignal,
  ): Promise<boolean> => {
    const { media } = job
    if (job.upload === null) {
      const url = await ask(headers, media, signal)
      if (url === null) return true
      job.upload = await put(url, media, signal)
      if (job.upload === null) return false
      outbox.uploaded(media.id, job.upload)
      crashPoint('uploaded')
    }
    const { mediaId: id, ...rest } = job.upload
    const url = new URL(`${target.url.href}/${encodeURIComponent(id)}`)
    await ofItsOwn(json('PATCH', url, headers, rest, signal))
    return true
  }

  const json = (
    method: 'POST' | 'PATCH',
    url: URL,
    headers: Readonly<Record<string, string>>,
    content: object,
    signal: AbortSignal,
  ) => {
    const body = Buffer.from(JSON.stringify(content))
    return client.call({ method, url, headers, body, bytes: body.length }, signal)
  }

  /** Where the content goes; null: it is there. */
  const ask = async (
    headers: Readonly<Record<string, string>>,
    media: HeldMedia,
    signal: AbortSignal,
  ): Promise<URL | null> => {
    const { traceId, observationId, contentType, bytes, sha256, field } = media
    const content = {
      traceId,
      observationId,
      contentType,
      contentLength: bytes,
      sha256Hash: Buffer.from(sha256, 'hex').toString('base64'),
      field,
    }
    const { body } = await json('POST', target.url, headers, content, signal)
    const url = uploadUrlIn(body)
    if (url === undefined) throw new SendError('refused', 'the answer names no uploadUrl')
    return url
  }

  /** Null: it is gone. */
  const put = async (url: URL, media: HeldMedia, signal: AbortSignal): Promise<Upload | null> => {
    const { sha256, contentType, bytes } = media
    const content = outbox.content(sha256)
    if (content === null) return null
    const began = performance.now()
    try {
      const { status } = await client.call(
        {
          method: 'PUT',
          url,
          headers: uploadHeaders(url, media),
          body: content,
          bytes,
          timeoutMs: options.timeoutMs + bytes / BYTES_PER_MS,
          toStorage: true,
        },
        signal,
      )
      return {
        mediaId: mediaId(sha256),
        uploadedAt: new Date(clock.now()).toISOString(),
        uploadHttpStatus: status,
        uploadTimeMs: Math.round(performance.now() - began),
      }
    } catch (error) {
      throw error instanceof SendError ? ofStorage(error, contentType) : error
    } finally {
      content.destroy()
    }
  }

  // --- the loop ---

  /** Takes what waits, as far as uploads may be on their way. */
  const pump = (): void => {
    if (stopping.aborted) return
    try {
      trim()
      for (const project of outbox.projects(name)) fill(lanes.get(project) ?? addLane(project))
    } catch (error) {
      progress.troubled(error)
      clock.sleep(LOCAL_ERROR_MS, stopping).then(wake, () => {})
    }
  }

  const fill = (lane: MediaLane): void => {
    const taken = busy.get(lane.key)!
    while (lane.state !== 'no-keys' && lane.inFlight < options.concurrency) {
      const media = outbox.next(name, lane.key, taken)
      if (media === undefined) return
      lane.inFlight++
      taken.add(media.sha256)
      const work = deliver(lane, media)
        .catch(async (error) => {
          progress.troubled(error)
          await clock.sleep(LOCAL_ERROR_MS, stopping).catch(() => {})
        })
        .finally(() => {
          underWay.delete(work)
          taken.delete(media.sha256)
          lane.inFlight--
          wake()
        })
      underWay.add(work)
    }
  }

  const deliver = async (lane: MediaLane, media: HeldMedia): Promise<void> => {
    crashPoint('media')
    try {
      const isThere = await lane.send({ media, upload: media.upload }, progress.abandoning)
      if (isThere) outbox.settle(name, media, { type: 'delivered' })
      else outbox.settle(name, media, { type: 'dropped', reason: 'content_gone' })
    } catch (error) {
      // It is sent again at the next start.
      if (stopping.aborted) return
      if (!(error instanceof SendError)) throw error
      const reason = error.message
      log.error('media rejected', { exporter: name, trace: media.traceId, reason })
      outbox.settle(name, media, { type: 'dead', reason })
    }
    progress.getsOn(lane)
  }

  const trim = (): void => {
    if (clock.elapsed() < nextTrim) return
    nextTrim = clock.elapsed() + TRIM_MS
    const onTheirWay = new Set([...busy.values()].flatMap((hashes) => [...hashes]))
    const media = outbox.trim(name, options.backlogBytes, onTheirWay)
    if (media === 0) return
    log.warn('backlog full: the oldest media were dropped', { exporter: name, media })
    // A slice; there may be more.
    nextTrim = 0
    wake()
  }

  const wake = (): void => {
    if (pumpWanted || stopping.aborted) return
    pumpWanted = true
    setImmediate(() => {
      pumpWanted = false
      pump()
    })
  }

  wake()
  return {
    wake,
    hurry: wake,
    status: () => progress.status(),
    async stop(timeoutMs) {
      await progress.stop(timeoutMs)
      await client.close()
    },
  }
}

/** Undefined: it says nothing of one. */
function uploadUrlIn(answer: Buffer): URL | null | undefined {
  try {
    const { uploadUrl } = JSON.parse(answer.toString())
    return uploadUrl === null ? null : (URL.parse(String(uploadUrl)) ?? undefined)
  } catch {
    return undefined
  }
}

/** As Langfuse's SDKs send: S3 verifies the hash, Azure wants to know the kind of blob, and Google refuses both. */
function uploadHeaders(
  { hostname }: URL,
  { contentType, sha256, bytes }: HeldMedia,
): Record<string, string> {
  const headers = { 'content-type': contentType, 'content-length': String(bytes) }
  if (hostname.endsWith('storage.googleapis.com')) return headers
  return {
    ...headers,
    'x-amz-checksum-sha256': Buffer.from(sha256, 'hex').toString('base64'),
    'x-ms-blob-type': 'BlockBlob',
  }
}

/** Of the answer of a storage only its code is told: the rest may have the signature of the URL in it. */
function ofStorage({ code, status, message, retryAfterMs }: SendError, contentType: string) {
  const why = /<Code>([\w.-]{1,80})<\/Code>/.exec(message)?.[1]
  const what = status === 0 ? 'storage not reached' : `the storage answered ${status}`
  const text = `${what}${why === undefined ? '' : ` ${why}`} (${contentType})`
  return new SendError(isOfItsOwn(code, status) ? 'rejected' : code, text, status, retryAfterMs)
}

/** A 4xx that nobody's keys heal is this one's own. */
function isOfItsOwn(code: SendError['code'], status: number): boolean {
  return code === 'refused' && status >= 402 && status < 500 && status !== 403
}

async function ofItsOwn<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (!(error instanceof SendError) || !isOfItsOwn(error.code, error.status)) throw error
    throw new SendError('rejected', error.message, error.status)
  }
}
