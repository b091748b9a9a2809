import { expect, test } from 'vitest'
import { scanned, scanTokens, tokensOf } from './tokens.ts'

function scan(json: string): object {
  const bytes = Buffer.from(`  ${json}  `)
  scanTokens(bytes, 2, bytes.length - 2)
  const { input, output, total } = scanned
  const given = (tokens: number): number | null => (tokens < 0 ? null : tokens)
  return { input: given(input), output: given(output), total: given(total) }
}

test.each([
  ['{"input":412,"output":128}', { input: 412, output: 128, total: 540 }],
  ['{"input":0,"output":0,"total":0}', { input: 0, output: 0, total: 0 }],
  ['{"promptTokens":1,"completionTokens":2,"totalTokens":9}', { input: 1, output: 2, total: 9 }],
  ['{"output_tokens":7}', { input: null, output: 7, total: 7 }],
  ['{"total_tokens":4}', { input: null, output: null, total: 4 }],
  ['{ "input" : 5 , "input_cached" : 3 }', { input: 5, output: null, total: 5 }],
  ['{"note":"\\",\\"input\\":1","input":2}', { input: 2, output: null, total: 2 }],
  ['{"in\\u0070ut":1,"a\\"":2,"output":3}', { input: null, output: 3, total: 3 }],
  ['{"input":null,"cached":-1,"output":true,"total":6}', { input: null, output: null, total: 6 }],
  ['{}', { input: null, output: null, total: null }],
  ['[1,"input",2]', { input: null, output: null, total: null }],
  ['"input"', { input: null, output: null, total: null }],
  ['12', { input: null, output: null, total: null }],
  ['{"input', { input: null, output: null, total: null }],
])('%s', (json, expected) => {
  expect(scan(json)).toEqual(expected)
})

test('the scan finds what parsing does', () => {
  const names = [
    'input',
    'output',
    'total',
    'prompt_tokens',
    'outputTokens',
    'input_cached',
    'ö"\\',
  ]
  for (let round = 0; round < 2000; round++) {
    const usage: Record<string, unknown> = {}
    for (let left = round % 5; left > 0; left--) {
      const name = names[Math.floor(Math.random() * names.length)] as string
      usage[name] = [Math.floor(Math.random() * 1e6), null, 'text "input":3', false][
        Math.floor(Math.random() * 6) % 4
      ]
    }
    // With two names of one kind, parsing takes the better one and the scan the first.
    if (usage.input !== undefined) delete usage.prompt_tokens
    if (usage.output !== undefined) delete usage.outputTokens
    expect(scan(JSON.stringify(usage))).toEqual(tokensOf(usage))
  }
})
