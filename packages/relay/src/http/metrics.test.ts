import { expect, test } from 'vitest'
import { createMetrics } from './metrics.ts'
import type { Stats } from './stats.ts'

const stats: Stats = {
  relay: null,
  store: { dir: '/store', bytes: 1 },
  redis: null,
  spool: [],
  accepted: 7,
  open: 0,
  interrupted: 0,
  lost: {},
  lostScores: {},
  exporters: [],
  writers: [],
  deadLetters: [],
  deadScores: [],
  deadMedia: [],
  vitals: [
    {
      service: 'chat',
      seconds: 1,
      observations: 1,
      observationsPerTrace: 1,
      microsecondsPerObservation: 2.5,
      microsecondsPerTrace: 2.5,
      loopDelayMaxMs: 12,
      rssBytes: 1,
      lost: 0,
    },
  ],
  counters: {
    scores: 4,
    records: 20,
    corruptFrames: 1,
    corruptBytes: 96,
    tornTails: 2,
    expiredChunks: 3,
  },
}

test('records are no faults, and bytes no events', async () => {
  const { text } = await createMetrics().render(stats)
  const lines = text.split('\n').filter((line) => !line.startsWith('#'))
  expect(lines).toContain('offpath_spool_records_total 20')
  expect(lines).toContain('offpath_spool_damaged_bytes_total 96')
  expect(lines).toContain('offpath_store_expired_chunks_total 3')
  expect(lines.filter((line) => line.startsWith('offpath_spool_faults_total'))).toEqual([
    'offpath_spool_faults_total{kind="damaged_frame"} 1',
    'offpath_spool_faults_total{kind="torn_tail"} 2',
    ...[
      'malformed_record',
      'malformed_field',
      'unknown_record',
      'record_without_start',
      'reference_to_lost',
      'file_left_alone',
    ].map((kind) => `offpath_spool_faults_total{kind="${kind}"} 0`),
  ])
})

test('names, units and texts are as Prometheus has them', async () => {
  const { text } = await createMetrics().render(stats)
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    expect(name?.endsWith('_total')).toBe(type === 'counter')
    expect(name).toMatch(/^offpath_[a-z_]+$/)
    expect(name).not.toMatch(/milli|micro|_kb|_mb/)
    expect(text).toMatch(new RegExp(`^# HELP ${name} .{5,}`, 'm'))
  }
  expect(text).toContain('offpath_recording_seconds_per_observation{service="chat"} 0.0000025\n')
  expect(text).toContain('offpath_application_loop_delay_max_seconds{service="chat"} 0.012\n')
})
