import type { ArmGroup } from '../arms.ts'
import { busyShare } from '../busy.ts'
import type { Study } from '../results.ts'
import type { Findings, Row, SweepRow } from './analysis.ts'
import type { Attributed, Part } from './attribution.ts'
import { shown, unitOf } from './format.ts'

// Words that both reports use.

export const STUDIES: Readonly<Record<Study, string>> = { js: 'JavaScript', python: 'Python' }

/** Of a report; a run of some arms alone says so. */
export function titleOfReport({ about, arms, cases }: Findings): string {
  const title = `Where tracing overhead comes from: ${STUDIES[about.study]}`
  const many = arms.length === 1 ? 'one arm' : `${arms.length} arms`
  if (/ --sweeps\b/.test(about.command)) return `${title}, ${many} by size and by rate`
  if (!/ --(arm|case|bodies)\b/.test(about.command)) return title
  return `${title}, ${many} in ${cases.map(({ name }) => name).join(', ')}`
}

export const GROUPS: Readonly<Record<ArmGroup, string>> = {
  baseline: 'not traced',
  installed: 'SDK as installed',
  tuned: 'SDK tuned',
  style: 'another style',
  integration: 'integration',
  intervention: 'changed to find a cause',
  elsewhere: 'work done elsewhere',
}

export const SWEEPS: Readonly<Record<SweepRow['part'], string>> = {
  sizes: 'By size of the payload',
  rates: 'By rate',
}

export const QUICK_TEXT =
  'A quick run: it shows that all works and which way figures point. None of them is to quote.'

export function fitText({ hasDelays }: Findings): string {
  const noted = hasDelays
    ? 'Noted are stalls above 10 ms, and for the longest also delays of 2 ms and more. Batches without one'
    : 'Batches without a stall above 10 ms'
  return `Each batch with the stalls that ended between the arrival of the batch before it and its own: the longest, and all together; least squares lines over all cases and sizes. ${noted} have no place on the lines and are counted; those that arrived after the load are left out. So are stalls of the garbage collector, and services that did not deliver all: stalls of a lost batch would count for the next. Where a service hardly keeps up, its stalls are of the queue and not of a batch: a line with a small r² says nothing. MB: 10⁶ bytes, decompressed.`
}

export const KINDS_TEXT =
  'The same by the kind of text that a batch holds, where there are two: what a MB costs differs between them, and one line through both says less than two. Batches of one size have no line: for them the median of the longest stall for each MB.'

export const STALLS_TEXT =
  'Cells of their own, under a profiler, which costs: their latencies are not shown. Parts are of the time of all stalls above 20 ms together; what is missing from 100 % no sample explains. Where the loop was held for more than half of the time the cell counts as saturated: its stalls are then work that piled up, whoever began it, and not attributable.'

export function titleOf({ arm, again }: Row): string {
  return again ? `${arm.title}, again` : arm.title
}

export function armTitleOf({ arms }: Findings, id: string): string {
  return arms.find((arm) => arm.id === id)?.title ?? id
}

/** What a request waits for that no call explains. */
export function restOf({ about }: Findings): string {
  return about.study === 'python' ? 'the loop or the GIL' : 'the loop'
}

export function splitText(findings: Findings): string {
  return `Of the mean request, µs above the compared arm. The rest is what remains: waiting for ${restOf(findings)}. A part below zero is noise.`
}

/** How it was measured, in a few sentences: docs/method.md has the reasons. */
export function methodOf({ about }: Findings): string[] {
  const rounds =
    about.rounds === 1 ? 'one round' : `${about.rounds} rounds, in random order within a round`
  const gil =
    about.study === 'python'
      ? '; beside it a thread that wakes each 5 ms shows the wait for the GIL'
      : ''
  return [
    'Requests start at planned times, whether or not earlier ones are answered, and come from another process; latency counts from the planned start, so that a stall can’t hide itself. The first seconds are cut.',
    `Each arm runs in ${rounds}. Latencies of all rounds are pooled in an HdrHistogram; p95 is shown from 200 requests, p99 from 2 000, p99.9 from 20 000, else –. Other figures are medians over rounds, unless they say “longest”.`,
    'Above: the difference to the compared arm in the same round. [ ]: 95 % bootstrap interval over rounds, seeded; with two or three rounds it is their range.',
    'The untraced service runs twice in a round. The largest difference of this pair in any round is the noise floor; ≈ marks what differs from the compared arm by no more.',
    `Lag is the lateness of a 1 ms ticker on the event loop${gil}. CPU counts until all is delivered, divided by requests; “beside” is a relay or a worker on the same machine. Delivered is what the server that plays Langfuse counted in what it got, until the flush after the load was done or given up: a fast arm that loses observations is not fast.`,
  ]
}

/** What the machine and the run were: name and value. */
export function aboutOf({ about }: Findings): (readonly [string, string])[] {
  const { machine, versions } = about
  return [
    [
      'machine',
      `${machine.cpu}, ${machine.cores} cores, ${shown(machine.memoryMb, 'mb')}, ${machine.system}${machine.newPageUs === undefined ? '' : `; ${machine.newPageUs.toFixed(1)} µs for the first write into a new page of memory`}`,
    ],
    [
      'versions',
      Object.entries(versions)
        .map((pair) => pair.join(' '))
        .join(', '),
    ],
    ['command', about.command],
    [
      'started',
      `${about.startedAt.slice(0, 16).replace('T', ' ')} UTC; it took ${about.minutes.toFixed(0)} min`,
    ],
    ['rounds, seed', `${about.rounds}, ${about.seed}`],
  ]
}

/** What a case is, and its noise floor. */
export function caseText(findings: Findings, name: string): string {
  const facts = findings.cases.find((each) => each.name === name)
  const noise = findings.noise.find((each) => each.case === name)?.figures
  const told = [
    ['p50_ms', 'p50'],
    ['p95_ms', 'p95'],
    ['p99_ms', 'p99'],
    ['lag_round_max_ms', 'longest lag of a round'],
    ['cpu_main_us', 'CPU of the main thread'],
    ['cpu_process_us', 'CPU of the process'],
    ['rss_mb', 'memory'],
  ] as const
  const parts = told.flatMap(([figure, words]) => {
    const value = noise?.[figure]
    return value === undefined ? [] : [`${words} ${shown(value, unitOf(figure))}`]
  })
  return [
    `${name}: ${facts?.perSecond} requests a second of ${facts?.observations} observations, as most arms trace them.`,
    noise === undefined
      ? 'The A/A pair did not run here: nothing is marked as noise.'
      : `Noise floor: ${parts.join(', ')}.`,
    ...busyText(findings, name, facts?.perSecond ?? 0),
  ].join(' ')
}

/** Where the machine is too slow for the rate: what then piles up is not what an arm costs. */
function busyText({ rows }: Findings, name: string, perSecond: number): string[] {
  const untraced = rows.find((row) => row.case === name && row.id === 'untraced')
  const share = busyShare(untraced?.figures.cpu_main_us?.value ?? 0, perSecond)
  if (share === undefined) return []
  return [
    `Untraced the service takes ${shown(share, 'share')} of its thread’s time here: with what tracing adds requests may pile up. --slow asks for half as many, --rate for as many as you say.`,
  ]
}

export function attributedText(
  findings: Findings,
  each: Attributed,
): { heading: string; text: string } {
  const title = armTitleOf(findings, each.arm)
  const inCase = findings.cases.find(({ name }) => name === each.case)?.title ?? each.case
  const heading = `${title}, ${inCase}`
  const overall = `Over the whole cell: ${partsText(each.overall, 6)}.`
  if (each.stalls === 0) {
    return { heading, text: `No stall above 20 ms in ${each.seconds} s (${each.tool}). ${overall}` }
  }
  const saturated = each.isSaturated
    ? ` Saturated, not attributable: the loop was held for ${shown(each.stalledMs / (each.seconds * 1000), 'share')} of the time.`
    : ''
  const stalls = `${each.stalls} stalls above 20 ms in ${each.seconds} s, ${shown(each.stalledMs, 'ms')} together, the longest ${shown(each.longestMs, 'ms')} (${each.tool}).${saturated}`
  return {
    heading,
    text: `${stalls} By thread: ${partsText(each.threads, 5)}. By package: ${partsText(each.packages, 6)}. ${overall}`,
  }
}

function partsText(parts: readonly Part[], most: number): string {
  return parts
    .slice(0, most)
    .map(({ name, share }) => `${name} ${shown(share, 'share')}`)
    .join(', ')
}

/** Whether an arm leaves observations out because it is told to. */
export function isSampling(row: Row): boolean {
  return row.arm.id.includes('sample')
}
