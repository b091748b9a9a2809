import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOSS_REASONS } from '@offpath/sdk/spool-format'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createMetrics, type Metrics } from './metrics.ts'
import { exporterStats, fullStats } from './stats.fixture.ts'
import type { Stats } from './stats.ts'

let metrics: Metrics
beforeEach(() => {
  metrics = createMetrics()
})
afterEach(() => metrics.close())

/** Samples by name and labels, as they are scraped. */
async function scrape(stats: Stats = fullStats): Promise<Map<string, number>> {
  const { text } = await metrics.render(stats)
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))]
    }),
  )
}

/** Samples whose names begin so. */
async function samples(name: string, stats?: Stats): Promise<Record<string, number>> {
  return Object.fromEntries([...(await scrape(stats))].filter(([key]) => key.startsWith(name)))
}

/** Whatever happens between scrapes, once. */
function happen(): void {
  const attempt = { status: 200, seconds: 0.3, bytes: 70_000, spans: 20 }
  metrics.onAttempt('langfuse', attempt)
  metrics.onScoreAttempt('langfuse', attempt)
  metrics.onMediaAttempt('langfuse', attempt)
  metrics.onDelivered('langfuse', 1.5)
  metrics.onCommit(0.004, false)
}

test('docs/metrics.md has every metric with its type and labels, and no other', async () => {
  happen()
  const { text } = await metrics.render(fullStats)
  const found = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type]) => {
    const labels = new Set<string>()
    for (const [, given] of text.matchAll(new RegExp(`^${name}(?:_bucket)?\\{(.*)\\} `, 'gm'))) {
      for (const [, label] of (given as string).matchAll(/(\w+)="/g)) labels.add(label as string)
    }
    // Of the histogram's own.
    labels.delete('le')
    return [name, type, [...labels].sort().join(' ')].join(' | ')
  })
  const document = readFileSync(join(import.meta.dirname, '../../../../docs/metrics.md'), 'utf8')
  const rows = document.matchAll(/^\| `(offpath_\w+)` \| (\w+) \| ([^|]*)\|/gm)
  const told = [...rows].map(([, name, type, labels = '']) => {
    const names = [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label)
    return [name, type, names.sort().join(' ')].join(' | ')
  })
  expect(told.toSorted()).toEqual(found.toSorted())
})

test('names, units and texts are as Prometheus has them', async () => {
  const { text } = await metrics.render(fullStats)
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    expect(name?.endsWith('_total')).toBe(type === 'counter')
    expect(name).toMatch(/^offpath_[a-z_]+$/)
    expect(name).not.toMatch(/milli|micro|_kb|_mb/)
    expect(text).toMatch(new RegExp(`^# HELP ${name} .{5,}`, 'm'))
  }
  expect(text).toContain('offpath_recording_seconds_per_observation{service="chat"} 0.0000025\n')
  expect(text).toContain('offpath_application_loop_delay_max_seconds{service="chat"} 0.012\n')
})

test('records are no faults, and bytes no events', async () => {
  expect(Object.fromEntries(await scrape())).toMatchObject({
    offpath_spool_records_total: 20,
    offpath_spool_read_bytes_total: 2000,
    offpath_spool_damaged_bytes_total: 96,
    offpath_observations_stored_total: 11,
    offpath_store_expired_chunks_total: 3,
  })
  expect(await samples('offpath_spool_faults_total')).toEqual({
    'offpath_spool_faults_total{kind="damaged_frame"}': 1,
    'offpath_spool_faults_total{kind="torn_tail"}': 2,
    'offpath_spool_faults_total{kind="malformed_record"}': 0,
    'offpath_spool_faults_total{kind="malformed_field"}': 0,
    'offpath_spool_faults_total{kind="unknown_record"}': 0,
    'offpath_spool_faults_total{kind="record_without_start"}': 0,
    'offpath_spool_faults_total{kind="reference_to_lost"}': 0,
    'offpath_spool_faults_total{kind="file_left_alone"}': 0,
  })
})

test('what may be lost or dropped is counted from 0 on, or its first increase would not be seen', async () => {
  const lost = await samples('offpath_observations_lost_total', { ...fullStats, lost: { new: 1 } })
  expect(Object.keys(lost)).toHaveLength(LOSS_REASONS.length + 2)
  expect(lost['offpath_observations_lost_total{reason="corrupt"}']).toBe(0)
  expect(lost['offpath_observations_lost_total{reason="new"}']).toBe(1)
  const dropped = await samples('offpath_exporter_dropped_total')
  expect(dropped).toMatchObject({
    'offpath_exporter_dropped_total{exporter="langfuse",reason="backlog_full"}': 2,
    'offpath_exporter_dropped_total{exporter="langfuse",reason="refused"}': 0,
  })
  expect(await samples('offpath_exporter_media_dropped_total')).toMatchObject({
    'offpath_exporter_media_dropped_total{exporter="langfuse",reason="content_gone"}': 0,
  })
})

test('what became of dead letters by hand is counted of each kind', async () => {
  const of = '{exporter="langfuse"}'
  expect(Object.fromEntries(await scrape())).toMatchObject({
    [`offpath_exporter_dead_dropped_total${of}`]: 1,
    [`offpath_exporter_scores_retried_total${of}`]: 2,
    [`offpath_exporter_scores_dead_dropped_total${of}`]: 1,
    [`offpath_exporter_media_retried_total${of}`]: 2,
    [`offpath_exporter_media_dead_dropped_total${of}`]: 1,
  })
})

test('the age of what waits is that of the oldest, and 0 when nothing does or clocks disagree', async () => {
  const ages = async (oldest: string | null): Promise<(number | undefined)[]> => {
    const scores = { ...exporterStats.scores!, oldestHeld: oldest }
    const exporters = [{ ...exporterStats, oldestWaiting: oldest, scores, media: null }]
    const found = await scrape({ ...fullStats, exporters })
    return ['', 'scores_', 'media_'].map((what) =>
      found.get(`offpath_exporter_${what}oldest_waiting_seconds{exporter="langfuse"}`),
    )
  }
  expect(await ages(null)).toEqual([0, 0, undefined])
  expect(await ages(new Date(Date.now() + 60_000).toISOString())).toEqual([0, 0, undefined])
  const [spans, scores] = await ages(new Date(Date.now() - 90_000).toISOString())
  expect(spans).toBeGreaterThanOrEqual(90)
  expect(spans).toBeLessThan(120)
  expect(Math.abs(spans! - scores!)).toBeLessThan(1)
})

test('nobody is alarmed by what waits for an exporter that is not configured any more', async () => {
  const exporters = [{ ...exporterStats, delivery: null, scores: null, media: null }]
  const found = await samples('offpath_exporter_', { ...fullStats, exporters })
  expect(found['offpath_exporter_held{exporter="langfuse"}']).toBe(4)
  const names = Object.keys(found).join()
  expect(names).not.toMatch(/oldest_waiting|backlog_cap|in_flight|_state|scores|media/)
})

test('requests are counted with their sizes, deliveries with their lag, commits with their time', async () => {
  happen()
  metrics.onAttempt('langfuse', { status: 503, seconds: 4, bytes: 70_000, spans: 20 })
  metrics.onCommit(9, true)
  const of = '{exporter="langfuse"}'
  expect(Object.fromEntries(await scrape())).toMatchObject({
    'offpath_exporter_requests_total{exporter="langfuse",status="200"}': 1,
    'offpath_exporter_requests_total{exporter="langfuse",status="503"}': 1,
    [`offpath_exporter_sent_bytes_total${of}`]: 140_000,
    [`offpath_exporter_request_bytes_count${of}`]: 2,
    [`offpath_exporter_request_observations_sum${of}`]: 40,
    'offpath_exporter_request_seconds_bucket{le="0.5",exporter="langfuse"}': 1,
    'offpath_exporter_lag_seconds_bucket{le="1",exporter="langfuse"}': 0,
    'offpath_exporter_lag_seconds_bucket{le="2",exporter="langfuse"}': 1,
    'offpath_store_commit_seconds_bucket{le="0.005"}': 1,
    offpath_store_commit_seconds_count: 1,
    offpath_store_commit_errors_total: 1,
  })
})

test('the relay tells of its own process: version, start, CPU, memory and its event loop', async () => {
  const cpu = process.cpuUsage()
  const before = await scrape()
  const until = performance.now() + 1200
  while (performance.now() < until) {
    // The loop is held for 30 ms at a time, until the second of which the longest delay is told has ended.
    const busy = performance.now() + 30
    while (performance.now() < busy);
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const after = await scrape()
  const grown = (name: string): number => after.get(name)! - before.get(name)!
  // What the process has used, whatever the machine gave it, but for what comes before the first scrape and after the second.
  const { user, system } = process.cpuUsage(cpu)
  const used = (user + system) / 1e6
  const told = grown('offpath_relay_cpu_seconds_total')
  expect(told).toBeLessThanOrEqual(used)
  expect(told).toBeGreaterThan(used - 0.2)
  expect(grown('offpath_relay_loop_active_seconds_total')).toBeGreaterThan(0.5)
  expect(after.get('offpath_relay_resident_memory_bytes')).toBeGreaterThan(2 ** 20)
  expect(after.get('offpath_relay_start_time_seconds')).toBe(
    Date.parse('2026-11-24T09:00:00.000Z') / 1000,
  )
  const { node } = process.versions
  expect(after.get(`offpath_relay_info{version="0.1.0",node="${node}"}`)).toBe(1)
  expect(after.get('offpath_relay_loop_delay_seconds_count')).toBeGreaterThanOrEqual(1)
  expect(after.get('offpath_relay_loop_delay_seconds_sum')).toBeGreaterThan(0.025)
})
