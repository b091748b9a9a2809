import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Propagated } from '../recorder/span.ts'
import { contentOf, openSpool, segmentsIn } from '../testing/spool-files.ts'

const KB = 1024

test('nothing is created before the first record', () => {
  const { memory, disk, recorder } = openSpool()
  recorder.flush()
  recorder.close()
  expect(() => lstatSync(memory)).toThrow('ENOENT')
  expect(() => lstatSync(disk)).toThrow('ENOENT')
})

test('directory and segments are private to the user', () => {
  const { memory, recorder } = openSpool()
  recorder.start(null, null, 'first', 0, 0, undefined, undefined)
  recorder.flush()
  const [name] = readdirSync(memory) as [string]
  expect(name).toMatch(/^[0-9a-f]{16}-00000001\.seg$/)
  expect(statSync(memory).mode & 0o777).toBe(0o700)
  expect(statSync(join(memory, name)).mode & 0o777).toBe(0o600)
})

test('the header says who writes', () => {
  const { memory, recorder, writer } = openSpool({
    service: 'chat',
    environment: 'production',
    release: 'v1',
    resource: { 'cloud.region': 'ap-southeast-1', replicas: 2 },
  })
  const before = BigInt(Date.now()) * 1_000_000n
  recorder.start(null, null, 'first', 0, 0, undefined, undefined)
  recorder.flush()
  const [segment] = segmentsIn(memory)
  expect(segment?.losses).toEqual(new Array(12).fill(0))
  expect(segment?.header).toEqual({
    writer: writer.id,
    segment: 1,
    previous: null,
    pid: process.pid,
    pidStartTime: expect.stringMatching(/^\d+$/),
    pidNamespace: expect.stringMatching(/^pid:\[\d+\]$/),
    bootId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    thread: 0,
    heartbeatSeconds: 10,
    host: hostname(),
    service: 'chat',
    environment: 'production',
    release: 'v1',
    sdk: { name: '@offpath/sdk', version: '0.0.0' },
    language: 'javascript',
    startTime: expect.stringMatching(/^\d{19}$/),
    resource: { 'cloud.region': 'ap-southeast-1', replicas: 2 },
    recycled: false,
  })
  expect(BigInt(segment?.header.startTime as string)).toBeGreaterThanOrEqual(before)
  const stat = readFileSync('/proc/self/stat', 'latin1')
  expect(stat.split(' ')).toContain(segment?.header.pidStartTime)
})

test('resource attributes that are too many for a header are dropped, visibly', () => {
  const { memory, recorder } = openSpool({ service: 'chat', resource: { big: 'x'.repeat(70_000) } })
  recorder.start(null, null, 'first', 0, 0, undefined, undefined)
  recorder.flush()
  expect(segmentsIn(memory)[0]?.header).toMatchObject({
    service: 'chat',
    resource: { 'offpath.resource.dropped': true },
  })
})

test('segments rotate, are numbered, chained and closed by an end frame', async () => {
  const { memory, recorder } = openSpool({ spoolCapBytes: 8 * 1024 * KB })
  const context = new Propagated({ userId: 'user', tags: ['a'] })
  const shared = 'the same history '.repeat(100)
  for (let i = 0; i < 60; i++) {
    const input = [shared, `${i} `.repeat(10_000)]
    const span = recorder.start(null, context, 'step', 0, 0, { input }, undefined)
    recorder.end(span, undefined)
    await turn()
  }
  recorder.close()
  const segments = segmentsIn(memory)
  expect(segments.length).toBeGreaterThan(3)
  segments.forEach((segment, index) => {
    const before = segments[index - 1]
    expect(segment.ended).toBe(true)
    expect(segment.length).toBeLessThan(400 * KB)
    expect(segment.frames.map(({ sequence }) => sequence)).toEqual(segment.frames.map((_, i) => i))
    expect(segment.frames.every(({ hasCrc }) => !hasCrc)).toBe(true)
    expect(segment.header).toMatchObject({
      segment: index + 1,
      previous: before === undefined ? null : { segment: index, length: before.length },
    })
  })
  const { observations, dangling } = contentOf(memory)
  expect(dangling).toBe(0)
  expect(observations.length).toBe(60)
  observations.forEach(({ input, trace, finished }, i) => {
    expect(input).toEqual([shared, `${i} `.repeat(10_000)])
    expect(trace).toMatchObject({ userId: 'user', tags: ['a'] })
    expect(finished).toBe(true)
  })
  const frames = segments.flatMap(({ frames }) => frames)
  expect(frames.at(-1)).toMatchObject({ kind: 4, started: 60, lost: 0 })
})

test('one write a turn: records of one turn share a frame', async () => {
  const { memory, recorder } = openSpool()
  for (let i = 0; i < 100; i++) recorder.start(null, null, 'same turn', 0, 0, undefined, undefined)
  await turn()
  for (let i = 0; i < 100; i++) recorder.start(null, null, 'next turn', 0, 0, undefined, undefined)
  await turn()
  expect(segmentsIn(memory)[0]?.frames.map(({ kind, started }) => [kind, started])).toEqual([
    [1, 100],
    [1, 200],
  ])
})

test("durable 'record': each record is in the file when the call returns", () => {
  const { memory, recorder } = openSpool({ durable: 'record' })
  const input = Buffer.alloc(600_000, 7)
  const span = recorder.start(null, null, 'durable', 0, 0, { input }, undefined)
  input.fill(0)
  const read = () => contentOf(memory).observations
  expect(read()).toMatchObject([{ name: 'durable', input: Buffer.alloc(600_000, 7) }])
  recorder.update(span, { output: 'answer' })
  expect(read()).toMatchObject([{ output: 'answer', finished: false }])
  recorder.end(span, undefined)
  expect(read()).toMatchObject([{ finished: true }])
})

test('a loop that only awaits promises still writes and rotates', async () => {
  const { memory, recorder } = openSpool({ spoolCapBytes: 64 * 1024 * KB })
  for (let i = 0; i < 3000; i++) {
    recorder.event(null, null, 'event', 2, 0, { input: `${i} `.repeat(600) }, undefined)
    await Promise.resolve()
  }
  // No turn has ended yet.
  expect(segmentsIn(memory).length).toBeGreaterThan(1)
  recorder.close()
  expect(contentOf(memory).observations.length).toBe(3000)
})

test('16 MB of bytes or text leave a slice a turn', async () => {
  const { memory, recorder } = openSpool()
  const bytes = Buffer.alloc(16 * 1024 * KB, 'audio')
  const texts = ['latin '.repeat((16 * 1024 * KB) / 6), 'ngữ🙂'.repeat((4 * 1024 * KB) / 5)]
  let turns = 0
  let counting = true
  const count = () => {
    turns++
    if (counting) setImmediate(count)
  }
  setImmediate(count)
  const span = recorder.start(null, null, 'large', 0, 0, { input: bytes, output: texts }, undefined)
  recorder.end(span, undefined)
  // The record itself is there at the end of the turn.
  await turn()
  await turn()
  expect(contentOf(memory).observations).toMatchObject([{ name: 'large', finished: true }])
  for (let before = -1; before < recorder.stats().bytes; ) {
    before = recorder.stats().bytes
    await turn()
    await turn()
  }
  counting = false
  const slices = segmentsIn(memory)
    .flatMap(({ frames }) => frames)
    .filter(({ kind }) => kind === 3)
  expect(slices.length).toBeGreaterThan(100)
  expect(turns).toBeGreaterThanOrEqual(slices.length)
  for (const { payload } of slices) expect(payload.length).toBeLessThanOrEqual(400 * KB)
  const [observation] = contentOf(memory).observations
  expect(bytes.equals(observation?.input as Buffer)).toBe(true)
  const output = observation?.output as string[]
  expect(output.map((text, i) => text === texts[i])).toEqual([true, true])
})
