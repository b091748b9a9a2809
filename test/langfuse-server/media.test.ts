import { createHash } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLangfuseServer } from './server.ts'
import type { LangfuseServer } from './types.ts'

let server: LangfuseServer
beforeEach(async () => {
  server = await startLangfuseServer()
})
afterEach(() => server.close())

const authorization = `Basic ${Buffer.from('pk-lf-test:sk-lf-test').toString('base64')}`
const content = Buffer.from('an image')
const sha256Hash = createHash('sha256').update(content).digest('base64')
const asked = {
  traceId: 't',
  observationId: 'o',
  contentType: 'image/png',
  contentLength: content.length,
  sha256Hash,
  field: 'input',
}

async function call(method: string, path: string, body: object, keys = authorization) {
  const headers = { authorization: keys, 'content-type': 'application/json' }
  const answer = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) })
  // biome-ignore lint/suspicious/noExplicitAny: whatever it answers.
  return { status: answer.status, body: (await answer.json()) as any }
}

async function put(url: string, body: Buffer, headers: Record<string, string> = {}) {
  const all = { 'content-type': 'image/png', 'x-amz-checksum-sha256': sha256Hash, ...headers }
  return (await fetch(url, { method: 'PUT', headers: all, body: new Uint8Array(body) })).status
}

test('content is asked for until it was put and told', async () => {
  const { status, body } = await call('POST', '/api/public/media', asked)
  const mediaId = Buffer.from(sha256Hash, 'base64').toString('base64url').slice(0, 22)
  expect({ status, body }).toEqual({
    status: 201,
    body: { mediaId, uploadUrl: expect.any(String) },
  })
  expect(await put(body.uploadUrl, content)).toBe(200)
  expect(server.media.all()).toEqual([])
  expect((await call('POST', '/api/public/media', asked)).body.uploadUrl).not.toBe(null)
  const told = { uploadedAt: new Date(0).toISOString(), uploadHttpStatus: 200 }
  expect((await call('PATCH', `/api/public/media/${mediaId}`, told)).status).toBe(200)
  const again = { ...asked, field: 'output' }
  expect((await call('POST', '/api/public/media', again)).body.uploadUrl).toBe(null)
  expect(server.media.all()).toMatchObject([
    { content, puts: 1, places: ['t o input', 't o output'] },
  ])
  server.clear()
  expect(server.media.all()).toEqual([])
})

test('what is wrong is refused', async () => {
  expect((await call('POST', '/api/public/media', asked, 'Basic eDp5')).status).toBe(401)
  for (const wrong of [
    { field: 'level' },
    { contentLength: 0 },
    { sha256Hash: 'x' },
    { traceId: 1 },
  ]) {
    expect((await call('POST', '/api/public/media', { ...asked, ...wrong })).status).toBe(400)
  }
  expect((await call('PATCH', '/api/public/media/none', {})).status).toBe(404)
  const { uploadUrl } = (await call('POST', '/api/public/media', asked)).body
  expect(await put(uploadUrl, content, { authorization })).toBe(403)
  expect(await put(uploadUrl, content, { 'content-type': 'image/gif' })).toBe(403)
  expect(await put(uploadUrl, content, { 'x-amz-checksum-sha256': '' })).toBe(403)
  expect(await put(uploadUrl, Buffer.from('another'))).toBe(400)
  expect(await put(`${server.url}/upload/none`, content)).toBe(403)
  expect(server.media.all()).toEqual([])
})

test('faults come by method and number', async () => {
  server.media.faults = (method, number) =>
    method === 'POST' && number === 2 ? { type: 'status', status: 503 } : undefined
  const statuses: number[] = []
  for (let i = 0; i < 3; i++) statuses.push((await call('POST', '/api/public/media', asked)).status)
  expect(statuses).toEqual([201, 503, 201])
})
