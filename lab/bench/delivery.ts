/**
 * `npm run bench -- delivery`: what does a relay get delivered for a CPU-second, straight and through Redis, and what does it do
 * with all that waits when the server was away? docs/capacity.md reckons with its figures.
 *
 * Method. Relays are built, processes of their own, and their CPU is that of all their threads. They deliver as to Langfuse,
 * uncompressed, to a server in another process that counts different spans by their ids. Cases take turns in each round;
 * figures are medians of the rounds. `us` is CPU of relays per span, `lost` what the server has never had, `again` what
 * it had more than once.
 *
 *   small-export, 4kb-export, 64kb-export   a backlog in a store, the same one in each round, to the server; less what a
 *                                           relay's start costs, measured in the same round. `otel`: what OpenTelemetry's
 *                                           exporter takes for the encoding alone of such spans
 *   small-export-again                      the same once more: the noise
 *   small-gzip, 4kb-gzip                    with requests compressed, as they are over a network
 *   small-direct, 4kb-direct                from the spool to the server
 *   small-redis, 4kb-redis                  from the spool through Redis and a relay of a pool to the server
 *   small-redis-4, small-redis-again        with four relays in the pool, and four times the spans; with one once more
 *   backlog     5 GB that a relay has stored while the server refused are delivered by a new one
 *   restart     with 1 GB that wait a relay is killed and started anew
 *   outage      the spans of a day at 20 a second are recorded, at full speed, while the server refuses; then it is back
 *
 * How a sceptic could be fooled. The server answers at once and is on the same machine: what limits is the relay. A day is as
 * many spans and not as many hours: after hours a relay asks once a minute whether the server is back (retry.ts), so it begins
 * up to a minute later than here. export.backlog-cap and retention.size are `caps_gb` in all cases, so that none is about them;
 * the day of `outage` would fit into the defaults, 1 and 2 GB, as its `backlog_mb` shows, and `backlog` would not. CPU at start
 * (compiling) is in the export cases, and not in those from the spool, which are warm. Redis writes its append-only file, and
 * does not rewrite it.
 */
import { tmpdir } from 'node:os'
import { hasRedis } from '../apparatus/redis.ts'
import { UsageError } from '../command-line.ts'
import { type ChainPlan, type ChainSample, runChain } from './delivery/chain.ts'
import { type EncodingResult, encodeWithOtel } from './delivery/encoding.ts'
import {
  type Backlog,
  drainCopy,
  type ExportSample,
  makeBacklog,
  startingCost,
} from './delivery/exporting.ts'
import { drainBacklog, restartWithBacklog, sitOut } from './delivery/outage.ts'
import {
  chainRow,
  drainRow,
  encodingRow,
  exportRow,
  outageRow,
  restartRow,
} from './delivery/rows.ts'
import { startSink } from './delivery/sink.ts'
import { CAPS_GB, checkRoom, SPAN_BYTES, type Standing } from './delivery/standing.ts'
import { deliveryTargets } from './delivery/targets.ts'
import { type BenchOptions, chosenCases } from './options.ts'
import type { SpanKind } from './relay/spans.ts'
import type { Report, Row } from './report.ts'

const GB = 2 ** 30
const BACKLOG_GB = 5
const RESTART_BYTES = GB
const RESTARTS = 3
/** Of a day: a request a second, of 20 small spans. */
const DAY_SPANS = 20 * 86_400
const ENCODING_SECONDS = 1
const WARM_UP_SPANS = 100_000
const LEAST_WARM_UP = 2000

interface ExportCase {
  readonly type: 'export'
  readonly kind: SpanKind
  readonly settings: NodeJS.ProcessEnv
  /** Encoded by OpenTelemetry too. */
  readonly compared: boolean
}
interface ChainCase {
  readonly type: 'chain'
  readonly kind: SpanKind
  readonly pool: number
}

const GZIP = { OFFPATH_EXPORT_GZIP: 'always' }
const exporting = (kind: SpanKind, compared = true, settings = {}): ExportCase => {
  return { type: 'export', kind, compared, settings }
}
const chain = (kind: SpanKind, pool: number): ChainCase => ({ type: 'chain', kind, pool })

/** Those that are measured in rounds. */
const IN_ROUNDS: Readonly<Record<string, ExportCase | ChainCase>> = {
  'small-export': exporting('small'),
  'small-export-again': exporting('small', false),
  'small-gzip': exporting('small', false, GZIP),
  '4kb-export': exporting('4kb'),
  '4kb-gzip': exporting('4kb', false, GZIP),
  '64kb-export': exporting('64kb'),
  'small-direct': chain('small', 0),
  '4kb-direct': chain('4kb', 0),
  'small-redis': chain('small', 1),
  'small-redis-again': chain('small', 1),
  'small-redis-4': chain('small', 4),
  '4kb-redis': chain('4kb', 1),
}
const ONCE = ['backlog', 'restart', 'outage'] as const
const CASES = [...Object.keys(IN_ROUNDS), ...ONCE]
/** Left out of a quick run, unless they are asked for. */
const SLOW = ['small-gzip', '4kb-direct', 'small-redis-again']

/** In a round, at full scale. */
const EXPORT_SPANS: Readonly<Record<SpanKind, number>> = {
  small: 800_000,
  '4kb': 120_000,
  '64kb': 12_000,
}
/** For each relay that delivers. */
const CHAIN_SPANS: Readonly<Record<SpanKind, number>> = {
  small: 600_000,
  '4kb': 120_000,
  '64kb': 10_000,
}

export async function benchDelivery(options: BenchOptions): Promise<Report> {
  const { progress, seed } = options
  const rounds = options.rounds ?? (options.quick ? 1 : 3)
  // Enough for the relays' compiler to matter little; what waits through an outage needs less of that.
  const scale = options.scale * (options.quick ? 0.25 : 1)
  const onceScale = options.scale * (options.quick ? 0.1 : 1)
  const usual = options.quick ? CASES.filter((name) => !SLOW.includes(name)) : CASES
  const cases = chosenCases(options, CASES, usual)
  const disk = options.dir ?? tmpdir()
  const backlogBytes = (options.backlogGb ?? BACKLOG_GB * onceScale) * GB
  const spansOf = (bytes: number): number => Math.ceil(bytes / SPAN_BYTES['4kb'])
  const dayBytes = DAY_SPANS * onceScale * SPAN_BYTES.small
  const most = Math.max(
    // Copies of them, one at a time.
    2 * exportBytes(cases, scale),
    cases.includes('backlog') ? backlogBytes : 0,
    cases.includes('restart') ? RESTART_BYTES * onceScale : 0,
    cases.includes('outage') ? dayBytes : 0,
  )
  checkRoom(disk, 1.2 * most)
  if (!hasRedis() && cases.some((name) => poolOf(name) > 0)) {
    const without = cases.filter((name) => poolOf(name) === 0)
    throw new UsageError(
      `redis-server is not installed: apt-get install redis-server, or --cases ${without}`,
    )
  }

  const sink = await startSink()
  const standing: Standing = { sink, disk, seed, progress }
  const rows: Row[] = []
  try {
    rows.push(...(await inRounds(standing, cases, rounds, scale)))
    for (const name of cases) {
      if (!isOnce(name)) continue
      progress(`${name}: recording`)
      const row = await once(name)
      progress(`${name}: ${told(row)}`)
      rows.push(row)
    }
  } finally {
    await sink.stop()
  }
  const method = { rounds, scale, seed, backlog_gb: backlogBytes / GB, caps_gb: CAPS_GB }
  return { rows, targets: deliveryTargets(rows), method }

  async function once(name: (typeof ONCE)[number]): Promise<Row> {
    switch (name) {
      case 'backlog':
        return drainRow(await drainBacklog(standing, '4kb', spansOf(backlogBytes)))
      case 'restart': {
        const spans = spansOf(RESTART_BYTES * onceScale)
        return restartRow(await restartWithBacklog(standing, '4kb', spans, RESTARTS))
      }
      case 'outage':
        return outageRow(await sitOut(standing, 'small', Math.ceil(DAY_SPANS * onceScale)))
    }
  }
}

async function inRounds(
  standing: Standing,
  cases: readonly string[],
  rounds: number,
  scale: number,
): Promise<Row[]> {
  const { progress } = standing
  const chosen = cases.flatMap((name) => {
    const found = IN_ROUNDS[name]
    return found === undefined ? [] : [{ name, found }]
  })
  const exports = new Map<string, ExportSample[]>()
  const encodings = new Map<string, EncodingResult[]>()
  const chains = new Map<string, ChainSample[]>()
  const keep = <T>(in_: Map<string, T[]>, name: string, sample: T): void => {
    in_.set(name, [...(in_.get(name) ?? []), sample])
  }
  const backlogs = new Map<SpanKind, Backlog>()
  for (const kind of exportKinds(cases)) {
    progress(`recording the backlog of ${kind}`)
    const spans = Math.ceil(EXPORT_SPANS[kind] * scale)
    backlogs.set(kind, await makeBacklog(standing, kind, spans))
  }
  for (let round = 1; round <= rounds; round++) {
    const startUs = backlogs.size > 0 ? await startingCost(standing) : 0
    for (const { name, found } of chosen) {
      const { kind } = found
      let row: Row
      if (found.type === 'export') {
        const backlog = backlogs.get(kind) as Backlog
        const sample = await drainCopy(standing, backlog, startUs, found.settings)
        keep(exports, name, sample)
        row = exportRow(name, [sample])
        if (found.compared) {
          const seconds = ENCODING_SECONDS * Math.min(1, scale * 5)
          keep(encodings, name, await encodeWithOtel({ kind, seconds, seed: standing.seed }))
        }
      } else {
        const sample = await runChain(standing, chainPlan(found, scale))
        keep(chains, name, sample)
        row = chainRow(name, [sample])
      }
      progress(`round ${round} of ${rounds}: ${name}: ${told(row)}`)
    }
  }
  for (const { place } of backlogs.values()) place.remove()
  return chosen.flatMap(({ name }) => {
    const chainSamples = chains.get(name)
    if (chainSamples !== undefined) return [chainRow(name, chainSamples)]
    const encoded = encodings.get(name)
    return [
      exportRow(name, exports.get(name) ?? []),
      ...(encoded === undefined ? [] : [encodingRow(name, encoded)]),
    ]
  })
}

function chainPlan({ kind, pool }: ChainCase, scale: number): ChainPlan {
  const spans = Math.ceil(CHAIN_SPANS[kind] * scale) * Math.max(1, pool)
  // Of long spans fewer: what is to be warm is the code.
  const usual = (WARM_UP_SPANS * scale * CHAIN_SPANS[kind]) / CHAIN_SPANS.small
  return { kind, spans, pool, warmUp: Math.ceil(Math.max(Math.min(LEAST_WARM_UP, spans), usual)) }
}

function told({ per_cpu_second, rss_mb, ready_ms, lost }: Row): string {
  const figures = [
    per_cpu_second && `${per_cpu_second} spans per CPU-second`,
    ready_ms && `ready after ${ready_ms} ms`,
    rss_mb && `${rss_mb} MB at most`,
    `${lost} lost`,
  ]
  return figures.filter(Boolean).join(', ')
}

function exportKinds(cases: readonly string[]): Set<SpanKind> {
  const kinds = cases.flatMap((name) => {
    const found = IN_ROUNDS[name]
    return found?.type === 'export' ? [found.kind] : []
  })
  return new Set(kinds)
}

function exportBytes(cases: readonly string[], scale: number): number {
  let bytes = 0
  for (const kind of exportKinds(cases)) bytes += EXPORT_SPANS[kind] * SPAN_BYTES[kind] * scale
  return bytes
}

function poolOf(name: string): number {
  const found = IN_ROUNDS[name]
  return found?.type === 'chain' ? found.pool : 0
}

function isOnce(name: string): name is (typeof ONCE)[number] {
  return (ONCE as readonly string[]).includes(name)
}
