// Media from their writer to Langfuse: writers, relay and server are real, and the relay is killed.
import { execFile, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Running, type Sandbox, sandbox } from '../packages/relay/src/cli/cli.fixture.ts'
import type { Stats } from '../packages/relay/src/http/stats.ts'
import { crashAt } from '../packages/relay/src/testing/crash-at.ts'
import { type PlainFrame, writeSegment } from '../packages/relay/src/testing/plain-writer.ts'
import { startLangfuseServer } from './langfuse-server/server.ts'
import type { CapturedSpan, LangfuseServer } from './langfuse-server/types.ts'

const run = promisify(execFile)
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const TIME = '1790000000123456789'
const PYTHON = 'python3'
const hasPython =
  spawnSync(PYTHON, ['-c', 'import sys; sys.exit(sys.version_info < (3, 10))']).status === 0

let langfuse: LangfuseServer
let box: Sandbox
let relay: Running | undefined
beforeEach(async () => {
  langfuse = await startLangfuseServer({ projects: { 'pk-main': 'sk-main', 'pk-s': 'sk-s' } })
  box = sandbox({
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: 'pk-main',
    LANGFUSE_SECRET_KEY: 'sk-main',
    OFFPATH_LANGFUSE_PROJECTS: 'search=pk-s:sk-s',
  })
})
afterEach(async () => {
  await relay?.end('SIGTERM')
  relay = undefined
  await langfuse.close()
  box.remove()
})

async function startRelay(env: NodeJS.ProcessEnv = {}): Promise<string> {
  Object.assign(box.env, env)
  relay = box.start('up', '--json')
  for (const name of Object.keys(env)) delete box.env[name]
  return JSON.parse(await relay.line()).url
}

/** A segment of a writer that has ended. */
function write(...frames: PlainFrame[]): void {
  const writer = randomBytes(8).toString('hex')
  writeSegment(box.env.OFFPATH_SPOOL_DIR as string, { writer, frames: [...frames, { end: true }] })
}

const observation = (index: number, over: object = {}): object => ({
  record: 'observation',
  trace_id: TRACE,
  span_id: `00000000000000b${index}`,
  name: `answer-${index}`,
  start_time: TIME,
  end_time: TIME,
  ...over,
})

const image = randomBytes(100_000)
const uriOf = (content: Buffer, type = 'image/png'): string =>
  `data:${type};base64,${content.toString('base64')}`
const idOf = (content: Buffer): string =>
  createHash('sha256').update(content).digest('base64url').slice(0, 22)
const tokenOf = (content: Buffer, type = 'image/png', source = 'base64_data_uri'): string =>
  `@@@langfuseMedia:type=${type}|id=${idOf(content)}|source=${source}@@@`
const media = (data: unknown, content_type: unknown, source = 'bytes'): object => ({
  '$offpath:media': { content_type, data, source },
})

async function statsOf(url: string): Promise<Stats> {
  return (await (await fetch(`${url}/api/stats`)).json()) as Stats
}

const mediaOf = (stats: Stats, name = 'langfuse') =>
  stats.exporters.find((exporter) => exporter.name === name)?.media ?? null

/** What the relay says once it holds no media; throws when the law is broken. */
async function settled(url: string, accepted: number): Promise<Stats> {
  for (;;) {
    const stats = await statsOf(url)
    const figures = mediaOf(stats)!
    const dropped = Object.values(figures.dropped).reduce((sum, count) => sum + count, 0)
    expect(figures.accepted).toBe(figures.delivered + figures.deadLettered + dropped + figures.held)
    if (figures.accepted === accepted && figures.held === 0) return stats
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const attribute = (span: CapturedSpan, name: string): unknown =>
  span.attributes[`langfuse.observation.${name}`]

const contentFiles = (): string[] => {
  const directory = join(box.env.OFFPATH_STORE_DIR as string, 'media')
  return existsSync(directory) ? readdirSync(directory) : []
}

const sent = (method: string): number =>
  langfuse.media.requests.filter((request) => request.method === method).length

test('content in any form goes up once, and tokens stand in its place', async () => {
  const samples = randomBytes(4_000)
  const file = Buffer.from('a,b\n')
  write(
    { blob: { id: 1, encoding: 'bytes', offset: 0, content: image, last: true } },
    { blob: { id: 2, encoding: 'bytes', offset: 0, content: samples, last: true } },
    {
      json: [
        observation(1, {
          input: [
            { image: media({ '$offpath:blob': 1 }, 'image/png') },
            'data:image/png;base64,AA==',
          ],
          output: uriOf(image),
          metadata: { file: media(file.toString('base64'), 'text/csv', 'file'), n: 1 },
        }),
        observation(2, {
          input: media({ '$offpath:blob': 2 }, 'audio/pcm;rate=24000'),
          output: {
            text: `see "${uriOf(image)}" there`,
            [uriOf(image)]: 1,
            raw: { '$offpath:blob': 2 },
          },
        }),
      ],
    },
  )
  const url = await startRelay()
  const stats = await settled(url, 5)
  expect(mediaOf(stats)).toMatchObject({ delivered: 5, deadLettered: 0, dropped: {} })
  const [first, second] = await langfuse.waitForSpans(2)
  expect(JSON.parse(String(attribute(first!, 'input')))).toEqual([
    { image: tokenOf(image, 'image/png', 'bytes') },
    'data:image/png;base64,AA==',
  ])
  expect(attribute(first!, 'output')).toBe(tokenOf(image))
  expect(attribute(first!, 'metadata.file')).toBe(tokenOf(file, 'text/csv', 'file'))
  const all = langfuse.media.all('pk-main')
  const wav = all.find(({ contentType }) => contentType === 'audio/wav')!
  expect(attribute(second!, 'input')).toBe(tokenOf(wav.content, 'audio/wav', 'bytes'))
  expect(wav.content.subarray(44)).toEqual(samples)
  expect(wav.content.toString('latin1', 0, 16)).toMatch(/^RIFF....WAVEfmt $/s)
  expect([
    wav.content.readUInt32LE(4),
    wav.content.readUInt32LE(24),
    wav.content.readUInt16LE(34),
  ]).toEqual([4_036, 24_000, 16])
  // What is not all of a string, or a key, is text.
  expect(JSON.parse(String(attribute(second!, 'output')))).toEqual({
    text: `see "${uriOf(image)}" there`,
    [uriOf(image)]: 1,
    raw: tokenOf(samples, 'application/octet-stream'),
  })
  const png = all.find(({ contentType }) => contentType === 'image/png')!
  expect(png.content).toEqual(image)
  expect(png.places.toSorted()).toEqual([
    `${TRACE} 00000000000000b1 input`,
    `${TRACE} 00000000000000b1 output`,
  ])
  expect(all.map(({ puts }) => puts)).toEqual([1, 1, 1, 1])
  expect(sent('PATCH')).toBe(4)
  expect(contentFiles()).toEqual([])
  const { stdout } = await box.offpath('status')
  expect(stdout).toMatch(/\nMEDIA +STATE .*\nlangfuse +ok +5 +5 +0 +0 +0 /)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  expect(metrics).toContain('offpath_exporter_media_delivered_total{exporter="langfuse"} 5\n')
  expect(metrics).toContain(
    'offpath_exporter_media_requests_total{exporter="langfuse",status="201"} 5\n',
  )
})

test('bytes of binary records, with and without their type', async () => {
  const small = Buffer.from('GIF89a')
  const time = BigInt(TIME)
  const ids = { serial: 1, traceId: TRACE, spanId: '00000000000000b1', time }
  const input = [{ contentType: 'image/gif', content: small }, { content: image }, small]
  write({
    records: [
      { type: 'start', ...ids, name: 'answer', fields: [[3, input]] },
      { type: 'end', serial: 1, time },
    ],
  })
  await settled(await startRelay(), 2)
  const [span] = await langfuse.waitForSpans(1)
  expect(JSON.parse(String(attribute(span!, 'input')))).toEqual([
    tokenOf(small, 'image/gif', 'bytes'),
    { content: tokenOf(image, 'application/octet-stream') },
    `data:application/octet-stream;base64,${small.toString('base64')}`,
  ])
})

test('observations with the same content share one upload, and each project has its own', async () => {
  write({
    json: [1, 2, 3, 4].map((index) =>
      observation(index, { input: [uriOf(image)], ...(index === 4 && { project: 'search' }) }),
    ),
  })
  await settled(await startRelay(), 4)
  expect(sent('PUT')).toBe(2)
  expect(langfuse.media.all('pk-main')).toMatchObject([{ puts: 1, places: { length: 3 } }])
  expect(langfuse.media.all('pk-s')).toMatchObject([{ puts: 1, places: { length: 1 } }])
})

test('content that does not fit into a span goes up whole', async () => {
  const large = randomBytes(3_000_000)
  write({ json: [observation(1, { input: { a: uriOf(large), b: 'x'.repeat(2_000_000) } })] })
  const url = await startRelay({ OFFPATH_EXPORT_SPAN_BYTES: '1MB' })
  await settled(url, 1)
  expect(langfuse.media.all()[0]!.content).toEqual(large)
  const [span] = await langfuse.waitForSpans(1)
  expect(String(attribute(span!, 'input')).startsWith(`{"a":"${tokenOf(large)}","b":"xxx`)).toBe(
    true,
  )
  expect(String(attribute(span!, 'input'))).toContain('[cut by offpath')
})

test('what is busy, away or slow is tried again; spans do not wait for it', async () => {
  langfuse.media.faults = (method, number) => {
    if (number === 1) return { type: 'status', status: 503 }
    return method === 'PUT' && number === 2 ? { type: 'reset', when: 'body' } : undefined
  }
  write({ json: [observation(1, { input: uriOf(image) })] })
  const url = await startRelay()
  await langfuse.waitForSpans(1)
  const stats = await settled(url, 1)
  expect(mediaOf(stats)!.delivery).toMatchObject({ state: 'ok', retries: 4 })
  expect(langfuse.media.all()).toMatchObject([{ puts: 1 }])
  expect(langfuse.media.requests.map(({ method, answer }) => [method, answer])).toEqual([
    ['POST', 503],
    ['POST', 201],
    ['PUT', 503],
    ['POST', 201],
    ['PUT', 'reset'],
    ['POST', 201],
    ['PUT', 200],
    // The content is there: it is not sent again.
    ['PATCH', 503],
    ['PATCH', 200],
  ])
})

test('a storage that took content may answer as it likes', async () => {
  // Google's calls nothing a page.
  const answers = [
    { contentType: 'text/html; charset=UTF-8', body: '' },
    { contentType: 'application/xml', body: '<PutObjectResult/>' },
  ]
  langfuse.media.faults = (method, number) =>
    method === 'PUT'
      ? { type: 'status', status: 200, accept: true, ...answers[number - 1] }
      : undefined
  write({ json: [1, 2].map((index) => observation(index, { input: uriOf(randomBytes(1_000)) })) })
  await settled(await startRelay(), 2)
  expect(langfuse.media.all()).toHaveLength(2)
})

test('a storage that cannot be reached is tried again', async () => {
  const closed = await startLangfuseServer()
  await closed.close()
  langfuse.media.storage = closed.url
  write({
    json: [1, 2, 3].map((index) => observation(index, { input: uriOf(randomBytes(3_000_000)) })),
  })
  const url = await startRelay()
  while (mediaOf(await statsOf(url))?.delivery?.state !== 'retrying');
  expect(mediaOf(await statsOf(url))!.delivery!.message).toBe('storage not reached (image/png)')
  langfuse.media.storage = undefined
  expect(mediaOf(await settled(url, 3))).toMatchObject({ delivered: 3, deadLettered: 0 })
})

test('a rejection is a dead letter with its reason, and the span goes', async () => {
  langfuse.media.reject = ({ contentType }) =>
    contentType === 'application/x-thing' ? 'unsupported content type' : undefined
  write({
    json: [
      observation(1, { input: uriOf(image, 'application/x-thing') }),
      observation(2, { input: uriOf(image) }),
    ],
  })
  const stats = await settled(await startRelay(), 2)
  expect(mediaOf(stats)).toMatchObject({ delivered: 1, deadLettered: 1 })
  expect(stats.deadMedia).toMatchObject([
    {
      exporter: 'langfuse',
      traceId: TRACE,
      observationId: '00000000000000b1',
      field: 'input',
      contentType: 'application/x-thing',
      reason: expect.stringContaining('unsupported content type'),
    },
  ])
  const [first] = await langfuse.waitForSpans(2)
  expect(attribute(first!, 'input')).toBe(tokenOf(image, 'application/x-thing'))
  expect(contentFiles()).toEqual([])
  const { stdout } = await box.offpath('status')
  expect(stdout).toMatch(/langfuse +0af7651916cd +application\/x-thing in input +answered 400: /)
})

test('wrong keys, and a storage that refuses, are told by status without the signature', async () => {
  langfuse.projects.set('pk-main', 'another')
  langfuse.media.faults = (method) =>
    method === 'PUT'
      ? {
          type: 'status',
          status: 403,
          body: '<Code>AccessDenied</Code><SignatureProvided>secret-of-the-url</SignatureProvided>',
        }
      : undefined
  write({
    json: [
      observation(1, { input: uriOf(image) }),
      observation(2, { input: uriOf(image), project: 'search' }),
    ],
  })
  const url = await startRelay()
  let status = await box.offpath('status')
  while (status.stdout.match(/media to langfuse.*: unauthorized/g)?.length !== 2) {
    status = await box.offpath('status')
  }
  expect(status.code).toBe(1)
  expect(status.stdout).toMatch(/\nmedia to langfuse.*: unauthorized since .*: answered 401/)
  expect(status.stdout).toMatch(
    /media to langfuse, project search: unauthorized since .*: the storage answered 403 AccessDenied/,
  )
  expect(mediaOf(await statsOf(url))).toMatchObject({ accepted: 2, held: 2 })
  expect(contentFiles()).toHaveLength(1)
  await relay!.end('SIGTERM')
  expect(await relay!.stderr).not.toContain('secret-of-the-url')
  relay = undefined
})

test.each([
  ['commit', 1],
  ['send', 1],
  ['media', 1],
  ['uploaded', 1],
  ['acknowledge', 1],
] as const)('a relay that is killed at "%s" uploads content %i times', async (point, times) => {
  write({
    json: [observation(1, { input: [uriOf(image)] }), observation(2, { output: uriOf(image) })],
  })
  // It may die before it has said that it is ready.
  await startRelay(crashAt(point) as Record<string, string>).catch(() => {})
  expect(await relay!.end()).toBe(null)
  const stats = await settled(await startRelay(), 2)
  expect(mediaOf(stats)).toMatchObject({ delivered: 2 })
  await langfuse.waitForSpans(2)
  expect(langfuse.media.all()).toMatchObject([{ puts: times, places: { length: 2 } }])
  expect(langfuse.media.all()[0]!.content).toEqual(image)
  expect(contentFiles()).toEqual([])
})

test('media wait while the server is down, and beyond the cap the oldest go', async () => {
  langfuse.media.faults = () => ({ type: 'reset', when: 'body' })
  const env = { OFFPATH_EXPORT_BACKLOG_CAP: '1MB', OFFPATH_EXPORT_CONCURRENCY: '1' }
  let url = await startRelay(env)
  for (const index of [1, 2, 3, 4]) {
    write({ json: [observation(index, { input: uriOf(randomBytes(600_000)) })] })
    await langfuse.waitForSpans(index)
  }
  await relay!.end('SIGTERM')
  langfuse.media.faults = undefined
  url = await startRelay(env)
  const stats = await settled(url, 4)
  const { delivered, dropped } = mediaOf(stats)!
  expect(delivered + (dropped.backlog_full ?? 0)).toBe(4)
  expect(dropped.backlog_full).toBeGreaterThan(0)
  expect(langfuse.media.all()).toHaveLength(delivered)
  expect(contentFiles()).toEqual([])
})

test('switched off, and to other exporters, content stays where it is', async () => {
  box.env.OFFPATH_OTLP_URL = langfuse.otlpUrl
  write({ json: [observation(1, { input: uriOf(image) })] })
  const url = await startRelay({ LANGFUSE_MEDIA_UPLOAD_ENABLED: 'False' })
  const spans = await langfuse.waitForSpans(2)
  expect(spans.map((span) => attribute(span, 'input'))).toEqual([uriOf(image), uriOf(image)])
  expect(mediaOf(await statsOf(url))).toBe(null)
  expect(langfuse.media.requests).toEqual([])
})

test.skipIf(!hasPython)('the Python client’s media are there when flush says so', async () => {
  langfuse.media.faults = (method, number) =>
    method === 'PUT' && number <= 2 ? { type: 'status', status: 503 } : undefined
  await startRelay()
  const program = `
import base64
from offpath import get_client
from offpath.media import LangfuseMedia
png = b"\\x89PNG" + bytes(range(256)) * 10
uri = "data:image/gif;base64," + base64.b64encode(png).decode()
with get_client().start_as_current_observation(name="answer", as_type="generation") as generation:
    generation.update(
        input=[{"role": "user", "content": [LangfuseMedia(content_bytes=png, content_type="image/png"), uri]}],
        output=LangfuseMedia(base64_data_uri="data:text/plain;base64,SGVsbG8="),
        metadata={"sound": LangfuseMedia(content_bytes=b"\\0\\1" * 9, content_type="audio/pcm;rate=8000")},
    )
print(LangfuseMedia(content_bytes=png, content_type="image/png")._reference_string)
print(get_client().flush(until="delivered", timeout=20))
`
  const { stdout } = await run(PYTHON, ['-c', program], {
    env: {
      ...box.env,
      PYTHONPATH: join(import.meta.dirname, '../clients/python/src'),
      PYTHONDONTWRITEBYTECODE: '1',
    },
  })
  const [reference, flushed] = stdout.trim().split('\n')
  expect(flushed).toBe('True')
  expect(langfuse.media.all()).toHaveLength(3)
  const [span] = langfuse.spans('pk-main')
  const [message] = JSON.parse(String(attribute(span!, 'input')))
  const png = langfuse.media.all().find(({ contentType }) => contentType === 'image/png')!
  expect(message.content).toEqual([reference, tokenOf(png.content, 'image/gif')])
  const hello = Buffer.from('Hello')
  expect(attribute(span!, 'output')).toBe(tokenOf(hello, 'text/plain'))
  const wav = langfuse.media.all().find(({ contentType }) => contentType === 'audio/wav')!
  expect(attribute(span!, 'metadata.sound')).toBe(tokenOf(wav.content, 'audio/wav', 'bytes'))
  expect(wav.content).toHaveLength(44 + 18)
})
