import fc from 'fast-check'
import type { AnyValue, KeyValue } from './message.ts'

/** Values of attributes with all types that OTLP has. */
export function anyArbitrary(): fc.Arbitrary<AnyValue> {
  const int = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((whole) => {
    const number = Number(whole)
    return Number.isSafeInteger(number) ? number : whole
  })
  const { any } = fc.letrec<{ any: AnyValue; pair: KeyValue }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constant<AnyValue>({ type: 'none' }),
      fc
        .string({ unit: 'grapheme' })
        .map((text): AnyValue => ({ type: 'text', bytes: Buffer.from(text) })),
      fc.boolean().map((value): AnyValue => ({ type: 'bool', value })),
      fc.oneof(int, fc.integer()).map((value): AnyValue => ({ type: 'int', value })),
      fc.oneof(fc.double(), fc.integer()).map((value): AnyValue => ({ type: 'double', value })),
      fc.uint8Array().map((value): AnyValue => ({ type: 'bytes', bytes: Buffer.from(value) })),
      fc.array(tie('any'), { maxLength: 4 }).map((values): AnyValue => ({ type: 'array', values })),
      fc
        .array(tie('pair'), { maxLength: 4 })
        .map((values): AnyValue => ({ type: 'kvlist', values })),
    ),
    pair: fc.record({ key: fc.string({ unit: 'grapheme' }), value: tie('any') }),
  }))
  return any
}
