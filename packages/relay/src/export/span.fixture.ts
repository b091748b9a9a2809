import { FIELD } from '@offpath/sdk/spool-format'
import fc from 'fast-check'
import type { Part, Resource, Scope, StoredField, StoredSpan, Value } from '../store/span.ts'
import { field, json, makeSpan, resource, text } from './fixtures.ts'

/** Fields that become attributes of names of ours. */
const SENT = Object.values(FIELD).filter(
  (number) => number >= FIELD.input && number <= FIELD.traceOutput,
)

/** Spans with all that one may have, times and ids of any kind. */
export function spanArbitrary(): fc.Arbitrary<StoredSpan> {
  const wellFormed = fc.string({ unit: 'grapheme', maxLength: 200 })
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    // The decoder of the tests keeps attributes in plain objects.
    .filter((name) => name !== '__proto__')
  // A part of the file that does not split a character.
  const inFile: fc.Arbitrary<Part> = fc
    .tuple(fc.nat(9), fc.nat(9))
    .map(([offset, length]) => ({ file: 1, offset, length: Math.min(length, 10 - offset) }))
  const textValue: fc.Arbitrary<Value> = fc
    .array(
      fc.oneof(
        wellFormed.map((value): Part => Buffer.from(value)),
        inFile,
      ),
      { maxLength: 4 },
    )
    .map((parts) => ({
      type: 'text',
      parts,
      length: parts.reduce((sum, part) => sum + part.length, 0),
    }))
  const jsonValue = fc
    .oneof(fc.jsonValue(), fc.constant(null), fc.array(fc.oneof(fc.boolean(), fc.integer(), name)))
    .map(json)
  const intValue = fc
    .oneof(fc.integer(), fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
    .map((value): Value => ({ type: 'int', value }))
  const value: fc.Arbitrary<Value> = fc.oneof(
    textValue,
    jsonValue,
    intValue,
    fc.double({ noInteger: true }).map((value): Value => ({ type: 'double', value })),
    fc.boolean().map((value): Value => ({ type: 'bool', value })),
    fc.array(wellFormed).map((values): Value => ({ type: 'strings', values })),
  )
  const attributes = fc.dictionary(name, fc.jsonValue(), { noNullPrototype: true, maxKeys: 4 })
  const fields: fc.Arbitrary<StoredField[]> = fc.uniqueArray(
    fc.oneof(
      fc
        .tuple(fc.constantFrom(...SENT), name, value)
        .map(([number, key, value]) =>
          number === FIELD.metadata || number === FIELD.traceMetadata
            ? field(number, value, key)
            : field(number, value),
        ),
      value.map((value) => field(FIELD.metadata, value)),
      fc.constantFrom('ERROR', 'WARNING', 'DEBUG').map((level) => field(FIELD.level, text(level))),
      fc
        .tuple(
          fc.oneof(
            name,
            fc.constantFrom('user.id', 'langfuse.release', 'langfuse.observation.input'),
          ),
          value,
        )
        .map(([key, value]) => field(FIELD.attribute, value, key)),
    ),
    { selector: ({ field: number, key }) => `${number} ${key ?? ''}`, maxLength: 12 },
  )
  const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
  const id = (bytes: number) =>
    fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from(value))
  const hex = (bytes: number) => id(bytes).map((value) => value.toString('hex'))
  const python: Resource = { ...resource, language: 'python', environment: null, release: null }
  const scopes: Scope[] = [
    { name: 'ai', version: '1.0', attributes: {} },
    { name: '@x/y', version: '', attributes: { on: true, of: ['a', 1] } },
  ]
  return fc
    .record({
      traceId: id(16),
      spanId: id(8),
      parentSpanId: fc.option(id(8)),
      name: fc.oneof(fc.constant(''), wellFormed, fc.constant('x'.repeat(300))),
      type: fc.nat(9),
      kind: fc.nat(4),
      startSeconds: u32,
      startNanos: u32,
      endSeconds: u32,
      endNanos: u32,
      startFlags: fc.nat(7),
      interrupted: fc.boolean(),
      statusCode: fc.nat(2),
      statusDescription: wellFormed,
      traceState: fc.constantFrom('', 'a=1,b=2'),
      resource: fc.constantFrom(resource, { ...resource, service: null }, python),
      scope: fc.constantFrom(null, ...scopes),
      fields,
      events: fc.array(fc.record({ name: wellFormed, seconds: u32, nanos: u32, attributes }), {
        maxLength: 2,
      }),
      links: fc.array(
        fc.record({ traceId: hex(16), spanId: hex(8), flags: fc.nat(1), attributes }),
        { maxLength: 2 },
      ),
    })
    .map((over) => makeSpan(over))
}
