import { expect, test } from 'vitest'
import { benchAddressesOf, isBenchResult } from './bench-addresses.ts'

const result = {
  bench: 'delivery',
  node: 'v26.1.0',
  machine: { cpu: 'A CPU', cores: 2 },
  command: 'npm run bench -- delivery',
  startedAt: '2026-11-27T12:00:00.000Z',
  rows: [
    { case: 'small-export', subject: 'offpath', us: 2.9, lost: 0, note: 'text' },
    { case: 'small-export', subject: 'otel', us: 5.2 },
    { case: 'restart', subject: 'offpath', us: null, ready_ms: 300 },
  ],
  targets: [],
  method: { rounds: 3, scale: 1 },
} as const

test('a bench has an address for each of its figures, and for what is about them', () => {
  expect(Object.fromEntries(benchAddressesOf(result))).toEqual({
    'small-export/offpath/us': { value: 2.9 },
    'small-export/offpath/lost': { value: 0 },
    'small-export/otel/us': { value: 5.2 },
    'restart/offpath/ready_ms': { value: 300 },
    'about/rounds': { value: 3 },
    'about/scale': { value: 1 },
    'about/command': 'npm run bench -- delivery',
    'about/started': '2026-11-27',
    'machine/cpu': 'A CPU',
    'machine/cores': { value: 2 },
    'versions/node': '26.1.0',
  })
})

test('a study is none', () => {
  expect(isBenchResult(result)).toBe(true)
  expect(isBenchResult({ study: 'js' })).toBe(false)
})
