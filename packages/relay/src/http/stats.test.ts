import { expect, test } from 'vitest'
import type { StoreReader } from '../store/read.ts'
import { storeStats } from './stats.ts'

/** A store that holds vitals and nothing else. */
function storeOf(...seconds: Readonly<Record<string, unknown>>[]): StoreReader {
  const reader = {
    snapshot: <T>(read: () => T) => read(),
    counters: () => ({}),
    exporters: () => [],
    writers: () => [],
    open: () => 0,
    dead: { newest: () => [] },
    cursors: () => ({}),
    traces: () => ({ traces: [], next: null }),
    vitals: () =>
      seconds.map((vitals, id) => ({ id, writer: 'w', service: 'chat', vitals })).reverse(),
  }
  return reader as unknown as StoreReader
}

test('one interrupted call does not change what tracing is said to cost', () => {
  const usual = { recorder_ms: 0.8, flush_ms: 0.2, observations: 100 }
  const interrupted = { recorder_ms: 640, flush_ms: 0.2, observations: 100 }
  const [vitals] = storeStats(storeOf(usual, interrupted, usual)).vitals
  expect(vitals).toMatchObject({ seconds: 3, observations: 300, microsecondsPerObservation: 10 })
})

test('seconds count as much as the observations in them; those without any, and nonsense, not at all', () => {
  const { vitals } = storeStats(
    storeOf(
      { recorder_ms: 10, flush_ms: 0, observations: 1 },
      { recorder_ms: 9, flush_ms: 0, observations: 0 },
      { recorder_ms: 'x', observations: -5 },
      { recorder_ms: 3, flush_ms: 1, observations: 1000 },
    ),
  )
  expect(vitals[0]?.microsecondsPerObservation).toBe(4)
  expect(storeStats(storeOf({})).vitals[0]?.microsecondsPerObservation).toBe(0)
})
