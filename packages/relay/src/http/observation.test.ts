import { FIELD } from '@offpath/sdk/spool-format'
import { expect, test } from 'vitest'
import { json, makeSpan, text } from '../export/fixtures.ts'
import { isoTime, nanosOfIso } from '../iso-time.ts'
import type { Part, StoredField } from '../store/span.ts'
import { observationOf, type ReadText } from './observation.ts'
import type { Observation } from './shapes.ts'

const readText: ReadText = (parts: readonly Part[], maxBytes) =>
  Buffer.concat(parts as Buffer[])
    .subarray(0, maxBytes)
    .toString()

function show(fields: readonly StoredField[], budget = { each: 1000, left: 10_000 }): Observation {
  return observationOf(makeSpan({ fields, statusCode: 0 }), readText, budget)
}

test('values keep their types', () => {
  const shown = show([
    { field: FIELD.input, value: json({ a: [1, null, 'é'] }) },
    { field: FIELD.output, value: text('plain') },
    { field: FIELD.metadata, key: 'int', value: { type: 'int', value: 3 } },
    { field: FIELD.metadata, key: 'big', value: { type: 'int', value: 2n ** 60n } },
    { field: FIELD.metadata, key: 'nan', value: { type: 'double', value: Number.NaN } },
    { field: FIELD.metadata, key: 'yes', value: { type: 'bool', value: true } },
    { field: FIELD.tags, value: { type: 'strings', values: ['x', 'y'] } },
  ])
  expect(shown).toMatchObject({
    input: { a: [1, null, 'é'] },
    output: 'plain',
    metadata: { int: 3, big: '1152921504606846976', nan: 'NaN', yes: true },
    tags: ['x', 'y'],
    cut: {},
  })
})

test('a key may have any name', () => {
  const shown = show([
    { field: FIELD.metadata, key: '__proto__', value: text('a') },
    { field: FIELD.attribute, key: 'constructor', value: text('b') },
  ])
  expect(Object.entries(shown.metadata)).toEqual([['__proto__', 'a']])
  expect(Object.getPrototypeOf(shown.metadata)).toBe(Object.prototype)
  expect(Object.entries(shown.attributes)).toEqual([['constructor', 'b']])
})

test('long values are cut between characters, and named with their length', () => {
  const long = 'ế'.repeat(1000)
  const shown = show([
    { field: FIELD.input, value: text(long) },
    { field: FIELD.metadata, key: 'k', value: json({ long }) },
  ])
  expect(shown.input).toBe('ế'.repeat(333))
  expect(shown.metadata.k).toMatch(/^\{"long":"ế+$/)
  expect(shown.cut).toEqual({ input: 3000, 'metadata.k': 3011 })
})

test('a used-up budget leaves beginnings', () => {
  const value = text('x'.repeat(900))
  const shown = show(
    [
      { field: FIELD.input, value },
      { field: FIELD.output, value },
      { field: FIELD.model, value: text('qwen3') },
    ],
    { each: 1000, left: 1000 },
  )
  expect([String(shown.input).length, String(shown.output).length]).toEqual([900, 512])
  expect([shown.model, shown.cut]).toEqual(['qwen3', { output: 900 }])
})

test('what cannot be parsed any more is shown as it is', () => {
  const value = { type: 'json', parts: [Buffer.from('   ')], length: 3 } as const
  expect(show([{ field: FIELD.input, value }]).input).toBe('   ')
})

test('level, message and time to first token', () => {
  const failed = makeSpan({ statusCode: 2, statusDescription: 'boom', fields: [] })
  expect(observationOf(failed, readText, { each: 10, left: 10 })).toMatchObject({
    level: 'ERROR',
    statusMessage: 'boom',
    timeToFirstTokenMs: null,
  })
  const span = makeSpan({
    startSeconds: 1_790_000_000,
    startNanos: 500_000_000,
    statusCode: 2,
    fields: [
      { field: FIELD.level, value: text('WARNING') },
      { field: FIELD.completionStartTime, value: json(new Date(1_790_000_000_710)) },
    ],
  })
  expect(observationOf(span, readText, { each: 100, left: 100 })).toMatchObject({
    level: 'WARNING',
    timeToFirstTokenMs: 210,
  })
})

test('times have nanoseconds', () => {
  expect(nanosOfIso('2026-09-21T14:13:20.000000005Z')).toBe(1_790_000_000_000_000_005n)
  expect(nanosOfIso('2026-09-21T16:13:20.71+02:00')).toBe(1_790_000_000_710_000_000n)
  expect(nanosOfIso('soon')).toBe(null)
  expect(isoTime(1_790_000_000, 5)).toBe('2026-09-21T14:13:20.000000005Z')
})
