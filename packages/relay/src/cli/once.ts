// `offpath up --once`: what is in the spool is delivered, told, and that is all.
import { KINDS, parseDuration } from '../config/kinds.ts'
import type { Config } from '../config/options.ts'
import { type Stats, type StoreStats, storeStats } from '../http/stats.ts'
import type { Log } from '../log.ts'
import { openRelay } from '../relay.ts'
import { type Call, UsageError } from './call.ts'
import { bytes, count, plural } from './format.ts'
import { laneNotes } from './show-status.ts'
import { openStore } from './store.ts'
import type { Terminal } from './terminal.ts'
import { jsonLine, printable } from './text.ts'

/** What became of observations, scores or media in this run, and what is left. */
interface Counts {
  readonly delivered: number
  readonly deadLettered: number
  readonly dropped: Readonly<Record<string, number>>
  readonly waiting: number
}

/** What was sent again in this run, which is counted in none of the others, and all that is left. */
interface Again {
  /** It had changed, or somebody had it sent again: delivered, and not. */
  readonly resent: number
  readonly notResent: number
  /** Of what waits for the first time, and of what is sent again. */
  readonly waitingBytes: number
}

interface ExporterOutcome extends Counts, Again {
  readonly name: string
  /** Null: it takes none. */
  readonly scores: Counts | null
  readonly media: Counts | null
  /** The first that is not ok of its deliveries: of observations, scores, media. */
  readonly state: string
  readonly message: string | null
}

/** As `offpath up --once --json` prints it. */
export interface Outcome {
  /** The spool is read and nothing waits for an exporter. */
  readonly done: boolean
  /** Observations that have not ended, in applications that run. */
  readonly open: number
  /** Of the spool: not read, or written since. */
  readonly unreadBytes: number
  /** Null: it takes from no list. */
  readonly redisList: Stats['redisList']
  readonly storeFull: boolean
  readonly exporters: readonly ExporterOutcome[]
}

const DEFAULT_TIMEOUT_MS = 300_000

/** How long `--once` may take; undefined: it is not asked for. @throws UsageError */
export function onceTimeout(flags: Call['flags'], config: Config): number | undefined {
  const text = flags.get('timeout')
  if (!flags.has('once')) {
    if (text !== undefined) throw new UsageError('--timeout is a flag for --once')
    return undefined
  }
  if (config['redis.receive']) {
    throw new UsageError(
      '--once is not for a relay of a pool (redis.receive): it reads what others add, which has no end; SIGTERM with --export-drain delivers what it holds, and the rest stays in Redis',
    )
  }
  if (text === undefined) return DEFAULT_TIMEOUT_MS
  const ms = parseDuration(text)
  if (!ms) throw new UsageError(`--timeout: "${text}" is not ${KINDS.duration.expects}`)
  return ms
}

/** @param stopped resolves when it is told to end before */
export async function runOnce(
  { json, loaded: { config, origins }, terminal }: Call,
  log: Log,
  timeoutMs: number,
  stopped: Promise<string>,
): Promise<number> {
  // Two of them on one machine must not fail for a port that nobody asked for.
  const relay = await openRelay(config, log, origins.has('http.port') ? undefined : 0)
  try {
    // No server has answered in this turn of the event loop: the figures are those before the run.
    const before = exportersIn(config)
    const told = new AbortController()
    void stopped.then(() => told.abort())
    const done = await relay.drain(timeoutMs, { soFar: true, signal: told.signal })
    const stats = await relay.stats()
    const outcome = outcomeOf(done, before, stats)
    terminal.print(json ? jsonLine(outcome) : render(outcome, stats, terminal))
    return done ? 0 : 1
  } finally {
    await relay.close()
  }
}

function exportersIn(config: Config): StoreStats['exporters'] {
  const reader = openStore(config)
  try {
    return storeStats(reader).exporters
  } finally {
    reader.close()
  }
}

function outcomeOf(done: boolean, before: StoreStats['exporters'], stats: Stats): Outcome {
  const exporters = stats.exporters.flatMap((exporter): ExporterOutcome[] => {
    const { name, waiting, waitingBytes, delivery, scores, media } = exporter
    // It is not configured now.
    if (delivery === null) return []
    const was = before.find((one) => one.name === name)
    const states = [delivery, scores?.delivery, media?.delivery]
    const { state, message } = states.find((one) => one && one.state !== 'ok') ?? delivery
    return [
      {
        name,
        ...countsOf(exporter, was, waiting),
        resent: exporter.resent - (was?.resent ?? 0),
        notResent: exporter.notResent - (was?.notResent ?? 0),
        waitingBytes,
        scores: scores && countsOf(scores, was?.scores, scores.held),
        media: media && countsOf(media, was?.media, media.held),
        state,
        message,
      },
    ]
  })
  return {
    done,
    open: stats.open,
    unreadBytes: stats.spool.reduce((sum, { unreadBytes }) => sum + unreadBytes, 0),
    redisList: stats.redisList,
    storeFull: stats.relay?.storeFull ?? false,
    exporters,
  }
}

function countsOf(
  now: Omit<Counts, 'waiting'>,
  before: Omit<Counts, 'waiting'> | null | undefined,
  waiting: number,
): Counts {
  const dropped = Object.entries(now.dropped).map(([reason, n]): [string, number] => [
    reason,
    n - (before?.dropped[reason] ?? 0),
  ])
  return {
    delivered: now.delivered - (before?.delivered ?? 0),
    deadLettered: now.deadLettered - (before?.deadLettered ?? 0),
    dropped: Object.fromEntries(dropped.filter(([, n]) => n > 0)),
    waiting,
  }
}

function render(outcome: Outcome, stats: Stats, terminal: Terminal): string {
  const { done, open, unreadBytes, storeFull, exporters } = outcome
  const lines = exporters.flatMap(({ name, scores, media, ...observations }) => [
    `${name}: ${sentence(observations) || 'nothing to deliver'}`,
    ...apart(`scores to ${name}`, scores),
    ...apart(`media to ${name}`, media),
  ])
  if (exporters.length === 0) {
    lines.push('no exporter is configured: traces are kept in the store')
  }
  if (open > 0) lines.push(`${plural(open, 'observation')} open in applications that run`)
  if (!done) {
    for (const { name, delivery, scores, media } of stats.exporters) {
      lines.push(
        ...laneNotes(name, delivery),
        ...laneNotes(`scores to ${name}`, scores?.delivery ?? null),
        ...laneNotes(`media to ${name}`, media?.delivery ?? null),
      )
    }
    const list = stats.redisList
    if (list !== null && list.trouble !== null) {
      lines.push(`list ${printable(list.list)}: ${list.state}: ${printable(list.trouble)}`)
    }
    if (unreadBytes > 0) {
      const why = storeFull ? ': the store is full' : ''
      lines.push(`${bytes(unreadBytes)} of the spool are not read${why}`)
    }
  }
  lines.push(
    done
      ? terminal.style('green', 'nothing is left')
      : terminal.style('yellow', 'not all is delivered: the rest goes out at the next start'),
  )
  return lines.map((line) => `${line}\n`).join('')
}

function apart(who: string, counts: Counts | null): string[] {
  const text = counts === null ? '' : sentence(counts)
  return text === '' ? [] : [`${who}: ${text}`]
}

/** Empty: there was nothing. */
function sentence(counts: Counts & Partial<Again>): string {
  const { delivered, deadLettered, dropped, waiting } = counts
  const { resent = 0, notResent = 0, waitingBytes = 0 } = counts
  const parts: [number, string][] = [
    [delivered, 'delivered'],
    [deadLettered, 'rejected'],
    ...Object.entries(dropped).map(([reason, n]): [number, string] => {
      return [n, `dropped (${printable(reason)})`]
    }),
    [resent, 'sent again'],
    [notResent, 'not sent again'],
    [waiting, waiting === 1 ? 'waits' : 'wait'],
  ]
  const texts = parts.filter(([n]) => n > 0).map(([n, what]) => `${count(n)} ${what}`)
  if (waiting === 0 && waitingBytes > 0) texts.push('some wait to be sent again')
  return texts.join(', ')
}
