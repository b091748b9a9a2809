import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { hexToWord } from './ids.ts'
import { sampled } from './sampling.ts'

function sampledId(traceId: string, rate: number): boolean {
  return sampled(0, 0, hexToWord(traceId, 16), hexToWord(traceId, 24), rate)
}

describe('sampled', () => {
  it('takes everything at 1 and nothing at 0', () => {
    for (const tail of ['0000000000000000', '0000000000000001', 'ffffffffffffffff']) {
      expect(sampledId(`1234567890abcdef${tail}`, 1)).toBe(true)
      expect(sampledId(`1234567890abcdef${tail}`, 0)).toBe(false)
    }
  })

  // Made with OpenTelemetry Python's rule: (id & (2^64 - 1)) < round(rate * 2^64). Any client can use them.
  it.each([
    ['0af7651916cd43dd7fffffffffffffff', 0.5, true],
    ['0af7651916cd43dd8000000000000000', 0.5, false],
    ['ffffffffffffffff1999999999999999', 0.1, true],
    ['ffffffffffffffff199999999999a000', 0.1, false],
    ['00000000000000010000000000000000', 0.000001, true],
    ['0000000000000001ffffffffffffffff', 0.999999, false],
  ])('%s at %d: %s', (traceId, rate, expected) => {
    expect(sampledId(traceId, rate)).toBe(expected)
  })

  it('agrees with the rule in whole numbers on random ids', () => {
    for (let i = 0; i < 2000; i++) {
      const traceId = randomBytes(16).toString('hex')
      const rate = Math.random()
      const bound = BigInt(rate * 2 ** 64)
      expect(sampledId(traceId, rate)).toBe(BigInt(`0x${traceId.slice(16)}`) < bound)
    }
  })

  it('keeps what a lower rate keeps', () => {
    for (let i = 0; i < 500; i++) {
      const traceId = randomBytes(16).toString('hex')
      if (sampledId(traceId, 0.1)) expect(sampledId(traceId, 0.3)).toBe(true)
    }
  })
})
