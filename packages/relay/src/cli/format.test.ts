import { expect, test } from 'vitest'
import { bytes, clockTime, count, duration, plural } from './format.ts'

test.each([
  [0, '0 ms'],
  [0.04, '0.04 ms'],
  [0.4, '0.4 ms'],
  [12.4, '12 ms'],
  [999.4, '999 ms'],
  [999.6, '1.00 s'],
  [1840, '1.84 s'],
  [12_340, '12.3 s'],
  [59_960, '1 m'],
  [192_000, '3 m 12 s'],
  [3_599_600, '1 h'],
  [7_500_000, '2 h 5 m'],
  [86_400_000 * 3 + 3_600_000 * 4, '3 d 4 h'],
])('duration(%d) is %s', (ms, text) => {
  expect(duration(ms)).toBe(text)
})

test.each([
  [0, '0 B'],
  [812, '812 B'],
  [64 * 1024, '64 KB'],
  [1.5 * 1024 ** 2, '1.5 MB'],
  [1024 ** 3 - 1, '1 GB'],
])('bytes(%d) is %s', (value, text) => {
  expect(bytes(value)).toBe(text)
})

test('numbers are grouped', () => {
  expect([count(1), count(1234), count(1234567)]).toEqual(['1', '1 234', '1 234 567'])
  expect([plural(1, 'span'), plural(0, 'span')]).toEqual(['1 span', '0 spans'])
})

test('times of another day have their date', () => {
  const now = new Date(2026, 10, 24, 15)
  expect(clockTime(new Date(2026, 10, 24, 9, 5, 7), now)).toBe('09:05:07')
  expect(clockTime(new Date(2026, 10, 23, 9, 5, 7), now)).toBe('11-23 09:05:07')
})
