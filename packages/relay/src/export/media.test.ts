import { createHash } from 'node:crypto'
import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Part, StoredSpan, Value } from '../store/span.ts'
import { makeSpan } from './fixtures.ts'
import { cutMedia, mayHaveMedia } from './media.ts'

/** Nothing lies in data files here: parts are cut into two, so that they have to be loaded. */
const load = (parts: readonly Part[], into: Buffer, at: number): number => {
  for (const part of parts) at += (part as Buffer).copy(into, at)
  return at
}

function spanWith(type: 'text' | 'json', text: string, field: number = FIELD.input): StoredSpan {
  const bytes = Buffer.from(text)
  const parts = [bytes.subarray(0, 7), bytes.subarray(7)]
  const value: Value = { type, parts, length: bytes.length }
  return { ...makeSpan(), fields: [{ field, value }] }
}

function cut(type: 'text' | 'json', text: string, field?: number) {
  const span = spanWith(type, text, field)
  const result = cutMedia(span, load)
  const value = result.span.fields[0]!.value as Extract<Value, { type: 'text' }>
  expect(value.length).toBe(value.parts.reduce((sum, part) => sum + part.length, 0))
  return {
    text: Buffer.concat(value.parts as Buffer[]).toString(),
    ...result,
    same: result.span === span,
  }
}

const content = Buffer.from('x'.repeat(48))
const base64 = content.toString('base64')
const uri = `data:image/png;base64,${base64}`
const tokenOf = (bytes: Buffer, type = 'image/png', source = 'base64_data_uri'): string =>
  `@@@langfuseMedia:type=${type}|id=${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}|source=${source}@@@`

describe('what is media', () => {
  test.each([
    ['a text', 'text', uri, tokenOf(content)],
    ['a string in JSON', 'json', `{"a":["${uri}",1]}`, `{"a":["${tokenOf(content)}",1]}`],
    ['JSON that is a string', 'json', `"${uri}"`, `"${tokenOf(content)}"`],
    ['two of them', 'json', `["${uri}","${uri}"]`, `["${tokenOf(content)}","${tokenOf(content)}"]`],
    [
      'short content that was recorded as media',
      'json',
      '["data:text/csv;charset=utf-8;source=file;base64,YQ=="]',
      `["${tokenOf(Buffer.from('a'), 'text/csv', 'file')}"]`,
    ],
    [
      'bytes with their type',
      'json',
      '{"m":{"contentType":"Image/PNG","content":"data:application/octet-stream;base64,YQ=="}}',
      `{"m":"${tokenOf(Buffer.from('a'), 'image/png', 'bytes')}"}`,
    ],
    [
      'bytes without a type',
      'json',
      `["data:application/octet-stream;base64,${base64}"]`,
      `["${tokenOf(content, 'application/octet-stream')}"]`,
    ],
  ] as const)('%s', (_, type, before, after) => {
    const { text, media } = cut(type, before)
    expect(text).toBe(after)
    expect(media.map(({ field }) => field)).toEqual(media.map(() => 'input'))
    const span = spanWith(type, before)
    expect(mayHaveMedia(span, Buffer.from(`… ${before} …`))).toBe(true)
    expect(mayHaveMedia(span, Buffer.from('nothing'))).toBe(false)
    expect(mayHaveMedia({ ...span, fields: [] }, Buffer.from(before))).toBe(false)
  })

  test.each([
    ['a text that goes on', 'text', `${uri} `],
    ['a text that begins before', 'text', `see ${uri}`],
    ['short base64', 'json', '["data:image/png;base64,YQ=="]'],
    ['what is no base64', 'json', `["${uri}!${base64}"]`],
    ['base64 of an impossible length', 'json', `["data:image/png;base64,${'A'.repeat(65)}"]`],
    ['none at all', 'json', '["data:image/png;source=file;base64,"]'],
    ['a key', 'json', `{"${uri}":1}`],
    ['a string within a string', 'json', JSON.stringify([`"${uri}"`])],
    ['another scheme', 'json', `["blob:image/png;base64,${base64}"]`],
    ['no type', 'json', `["data:;base64,${base64}"]`],
    ['an end that is missing', 'json', `["${uri}`],
  ] as const)('not %s', (_, type, text) => {
    const result = cut(type, text)
    expect(result.text).toBe(text)
    expect(result.same).toBe(true)
  })

  test('only in input, output and metadata', () => {
    expect(cut('text', uri, FIELD.statusMessage).same).toBe(true)
    for (const [field, name] of [
      [FIELD.traceInput, 'input'],
      [FIELD.output, 'output'],
      [FIELD.traceMetadata, 'metadata'],
    ] as const) {
      expect(cut('text', uri, field).media).toMatchObject([{ field: name, content }])
    }
  })
})

test('samples become a WAV file, when their rate is known', () => {
  const of = (type: string) => cut('text', `data:${type};source=bytes;base64,${base64}`).media[0]!
  const { content: wav, contentType } = of('audio/pcm;rate=16000;width=3;channels=2')
  expect(contentType).toBe('audio/wav')
  expect(wav.subarray(44)).toEqual(content)
  expect(wav.toString('latin1', 0, 4) + wav.toString('latin1', 8, 16)).toBe('RIFFWAVEfmt ')
  expect([4, 16, 24, 28, 40].map((at) => wav.readUInt32LE(at))).toEqual([84, 16, 16000, 96000, 48])
  expect([20, 22, 32, 34].map((at) => wav.readUInt16LE(at))).toEqual([1, 2, 6, 24])
  expect(of('audio/L16;rate=8000').contentType).toBe('audio/wav')
  for (const other of [
    'audio/pcm',
    'audio/pcm;rate=0',
    'audio/pcm;rate=8000;width=9',
    'audio/wav;rate=8000',
  ]) {
    expect(of(other).content).toEqual(content)
  }
})

test('of any JSON, the rest stays as it is', () => {
  const media = fc.uint8Array({ minLength: 48, maxLength: 300 }).map((bytes) => Buffer.from(bytes))
  const leaf = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
  )
  type Leaf = { before: unknown; after: unknown; media: Buffer[] }
  const plain = leaf.map((value): Leaf => ({ before: value, after: value, media: [] }))
  const isMedia = media.map((bytes): Leaf => {
    const before = `data:image/png;base64,${bytes.toString('base64')}`
    return { before, after: tokenOf(bytes), media: [bytes] }
  })
  const any = fc.letrec<{ any: Leaf }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      plain,
      isMedia,
      fc.array(fc.tuple(fc.string(), tie('any')), { maxLength: 4 }).map(
        (entries): Leaf => ({
          before: Object.fromEntries(entries.map(([key, { before }], i) => [`${i}${key}`, before])),
          after: Object.fromEntries(entries.map(([key, { after }], i) => [`${i}${key}`, after])),
          media: entries.flatMap(([, one]) => one.media),
        }),
      ),
    ),
  })).any
  fc.assert(
    fc.property(any, ({ before, after, media }) => {
      const result = cut('json', JSON.stringify([before]))
      expect(JSON.parse(result.text)).toEqual([after])
      expect(result.media.map((one) => one.content).toSorted(Buffer.compare)).toEqual(
        media.toSorted(Buffer.compare),
      )
    }),
  )
})
