/**
 * `npm run bench -- relay`: how much does the relay get through, and how much memory does it take?
 *
 * Method. A process fills a spool through the SDK and ends; the relay, already running and idle, then finds the segments
 * (renamed into its spool one by one) and drains them. Its CPU, all threads, counts from then until the last
 * observation is stored (the last segment is deleted only after the commit) or has arrived at a counting server in
 * another process. Each round has a new relay, so that its compiler is in the figures too.
 *
 *   small-store     small observations (4 attributes), spool → store, no exporter
 *   small-export    the same, through to an exporter
 *   4kb-export      4 KB an observation: a backlog of 1 GB, while memory is sampled ten times a second
 *
 * `us` is CPU per observation. How a sceptic could be fooled: by an idle relay's memory (rss_mb is the highest sample, and
 * `rss_growth_mb` the median of the last third of the samples less that of the first), and by observations that repeat
 * (their texts are random stretches of 4 MB of prose).
 */
import { readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  fitsInMemory,
  makePlace,
  type Place,
  type Relay,
  type Server,
  startChild,
  startRelay,
  startServer,
  waitForCount,
} from '../apparatus/processes.ts'
import { median, rounded } from '../apparatus/statistics.ts'
import { type BenchOptions, chosenCases } from './options.ts'
import type { SpanKind } from './relay/spans.ts'
import { relayTargets } from './relay/targets.ts'
import type { Report, Row } from './report.ts'

const CASES = ['small-store', 'small-export', '4kb-export'] as const
type RelayCase = (typeof CASES)[number]

const SMALL_SPANS = 500_000
/** 1 GB of observations of 4 KB. */
const BACKLOG_SPANS = 256 * 1024
const SMALL_BYTES = 300
const BACKLOG_BYTES = 4300
/** Nothing moves for so long: it will not. */
const PATIENCE_MS = 15_000

export interface SpoolRequest {
  readonly kind: SpanKind
  readonly spans: number
  readonly seed: number
}

export interface SpoolResult {
  readonly observations: number
  readonly lost: number
}

interface Sample {
  readonly cpuUs: number
  readonly wallMs: number
  readonly spans: number
  readonly delivered: number
  readonly lost: number
  readonly rssMb: number
  readonly rssGrowthMb: number
}

export async function benchRelay(options: BenchOptions): Promise<Report> {
  const rounds = options.rounds ?? (options.quick ? 1 : 3)
  const scale = options.scale * (options.quick ? 0.2 : 1)
  const cases = chosenCases(options, CASES)
  const samples = new Map<RelayCase, Sample[]>(cases.map((inCase) => [inCase, []]))
  const server = await startServer()
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const inCase of cases) {
        const small = inCase !== '4kb-export'
        const spans = Math.round((small ? SMALL_SPANS : BACKLOG_SPANS) * scale)
        const request = {
          kind: small ? 'small' : '4kb',
          spans,
          seed: options.seed + round,
        } as const
        const sample = await drain(server, request, inCase !== 'small-store')
        samples.get(inCase)?.push(sample)
        const perSecond = Math.round(sample.spans / (sample.cpuUs / 1e6))
        options.progress(
          `round ${round} of ${rounds}: ${inCase}: ${perSecond} observations per CPU-second, ` +
            `${sample.rssMb.toFixed(0)} MB, ${sample.lost} lost`,
        )
      }
    }
  } finally {
    await server.stop()
  }
  const rows = [...samples].map(([inCase, list]) => rowOfCase(inCase, list))
  return { rows, targets: relayTargets(rows), method: { rounds, scale, seed: options.seed } }
}

async function drain(server: Server, request: SpoolRequest, exporting: boolean): Promise<Sample> {
  const bytes = request.spans * (request.kind === 'small' ? SMALL_BYTES : BACKLOG_BYTES)
  const place = makePlace(fitsInMemory(4 * bytes))
  let relay: Relay | undefined
  try {
    await fill(place, request, 2 * bytes)
    await server.clear()
    relay = await startRelay(place, exporting ? server.url : undefined)
    // Its first polls of an empty spool.
    await delay(500)
    return await measure(place, relay, server, request.spans, exporting)
  } finally {
    await relay?.stop()
    place.remove()
  }
}

async function fill(place: Place, request: SpoolRequest, capBytes: number): Promise<void> {
  const child = startChild(join(import.meta.dirname, 'spool.child.ts'), request, {
    ...place.env,
    OFFPATH_SPOOL_DIR: place.staging,
    OFFPATH_SPOOL_CAP: String(Math.max(capBytes, 256 * 1024 * 1024)),
  })
  const { observations, lost } = await child.receive<SpoolResult>()
  await child.ended()
  if (lost > 0 || observations !== request.spans) {
    throw new Error(`the spool holds ${observations - lost} of ${request.spans} observations`)
  }
}

async function measure(
  place: Place,
  relay: Relay,
  server: Server,
  spans: number,
  exporting: boolean,
): Promise<Sample> {
  const rss: number[] = []
  const before = await relay.usage()
  const sampling = setInterval(async () => rss.push((await relay.usage()).rssBytes / 2 ** 20), 100)
  const begun = performance.now()
  const segments = readdirSync(place.staging).sort()
  for (const name of segments) renameSync(join(place.staging, name), join(place.spool, name))
  const deleted = () =>
    segments.length - readdirSync(place.spool).filter((name) => name.endsWith('.seg')).length
  const gone = await waitForCount(deleted, segments.length, PATIENCE_MS)
  const delivered = exporting ? await waitForCount(server.received, spans, PATIENCE_MS) : 0
  const wallMs = performance.now() - begun
  clearInterval(sampling)
  // The acknowledgement of what was delivered.
  await delay(200)
  const after = await relay.usage()
  const third = Math.max(1, Math.floor(rss.length / 3))
  return {
    cpuUs: after.cpu - before.cpu,
    wallMs,
    spans,
    delivered,
    lost: exporting ? spans - delivered : gone === segments.length ? 0 : spans,
    rssMb: Math.max(...rss, after.rssBytes / 2 ** 20),
    rssGrowthMb: median(rss.slice(-third)) - median(rss.slice(0, third)),
  }
}

function rowOfCase(inCase: RelayCase, list: readonly Sample[]): Row {
  const middle = (figure: (sample: Sample) => number) => median(list.map(figure))
  return {
    case: inCase,
    subject: 'offpath',
    us: rounded(middle(({ cpuUs, spans }) => cpuUs / spans)),
    per_cpu_second: rounded(
      middle(({ cpuUs, spans }) => spans / (cpuUs / 1e6)),
      0,
    ),
    per_second: rounded(
      middle(({ wallMs, spans }) => spans / (wallMs / 1000)),
      0,
    ),
    rss_mb: rounded(Math.max(...list.map(({ rssMb }) => rssMb)), 1),
    rss_growth_mb: rounded(
      middle(({ rssGrowthMb }) => rssGrowthMb),
      1,
    ),
    delivered: list.reduce((sum, { delivered }) => sum + delivered, 0),
    lost: list.reduce((sum, { lost }) => sum + lost, 0),
  }
}
