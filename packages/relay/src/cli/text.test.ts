import { describe, expect, test } from 'vitest'
import { columnsOf, fit, jsonLine, pad, printable } from './text.ts'

describe('printable', () => {
  test.each([
    ['colours', '\u001b[31mred\u001b[0m', 'red'],
    ['a cleared screen', 'a\u001b[2J\u001b[Hb', 'ab'],
    ['a window title', '\u001b]0;owned\u0007text', 'text'],
    ['a link', '\u001b]8;;http://evil\u001b\\click\u001b]8;;\u001b\\', 'click'],
    ['a device control string', '\u001bPq#0\u001b\\x', 'x'],
    ['C1 forms', '\u009b31mred\u009d0;t\u009cx', 'redx'],
    ['a sequence that never ends', 'a\u001b]0;abc', 'a'],
    ['a lone escape', 'a\u001b', 'a'],
    ['reset', '\u001bcafter', 'after'],
    ['bell, backspace, null, delete', 'a\u0007b\u0008c\u0000d\u007f', 'abcd'],
    ['line breaks', 'a\r\nb\tc\u2028d', 'a b c d'],
    ['direction switches', 'abc\u202edcba\u2066x', 'abcdcbax'],
    ['half a character', 'a\ud800', 'a\ufffd'],
    ['what is harmless', 'Xin chào 世界 👨‍👩‍👧', 'Xin chào 世界 👨‍👩‍👧'],
  ])('%s', (_, text, expected) => {
    expect(printable(text)).toBe(expected)
  })

  test('takes linear time', () => {
    const began = performance.now()
    printable('\u001b['.repeat(200_000) + '\u001b]'.repeat(200_000) + '\u001b[0'.repeat(200_000))
    expect(performance.now() - began).toBeLessThan(1000)
  })
})

test.each([
  ['plain', 5],
  ['', 0],
  ['Xin chào', 8],
  ['Xin cha\u0300o', 8],
  ['Tiếng Việt', 10],
  ['世界', 4],
  ['한국어', 6],
  ['カタカナ', 8],
  ['ＡＢ', 4],
  ['👍', 2],
  ['👍🏽', 2],
  ['👨‍👩‍👧', 2],
  ['🇻🇳', 2],
  ['❤️', 2],
  ['©', 1],
  ['→ ✓', 3],
  ['a\u200bb', 2],
])('columnsOf(%j) is %i', (text, columns) => {
  expect(columnsOf(text)).toBe(columns)
})

test('fit cuts between characters and says so', () => {
  expect(fit('abcdef', 6)).toBe('abcdef')
  expect(fit('abcdef', 5)).toBe('abcd…')
  expect(fit('世界世界', 8)).toBe('世界世界')
  expect(fit('世界世界', 7)).toBe('世界世…')
  expect(fit('世界世界', 6)).toBe('世界…')
  expect(fit('a👨‍👩‍👧b', 3)).toBe('a…')
  expect(fit('abc', 0)).toBe('')
  expect(fit('x'.repeat(1_000_000), 10)).toBe(`${'x'.repeat(9)}…`)
})

test('pad counts columns, not characters', () => {
  expect(pad('世', 4)).toBe('世  ')
  expect(pad('é', 3, 'start')).toBe('  é')
  expect(pad('long', 2)).toBe('long')
})

test('JSON holds nothing that drives a terminal, and is the same JSON', () => {
  const hostile = '\u0000\u001b[2J\u007f\u009b31m\u202e\u2066x\u2069\u200f\u2028\ufeff é 世界 😀'
  const value = { [hostile]: [hostile] }
  const line = jsonLine(value)
  expect(JSON.parse(line)).toEqual(value)
  expect(line).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\ufeff](?!$)/u)
  expect(line).toContain('\\u009b31m\\u202e')
  expect(line).toContain('é 世界 😀')
})
