import type { RedisDeadStats, RedisGroupStats, RedisListStats } from '../http/redis-stats.ts'
import type { Stats } from '../http/stats.ts'
import { bytes, clockTime, count, duration, plural } from './format.ts'
import { type Cell, renderTable } from './table.ts'
import type { Style, Terminal } from './terminal.ts'
import { printable } from './text.ts'

/** Writers of the past are many; the live ones come first. */
const MAX_WRITERS = 15
const MAX_DEAD_LETTERS = 5
const MAX_LEFT_ALONE = 5
const NEARLY_FULL = 0.8

/** /api/stats for people. `runs`: there is a relay, though it may not have been asked. */
export function renderStatus(stats: Stats, terminal: Terminal, runs: boolean): string {
  const sections = [
    relaySection(stats, terminal, runs),
    stats.redis ? '' : observationSection(stats, terminal),
    exporterSection(stats, terminal, runs),
    apartSection('scores', stats, terminal, runs),
    apartSection('media', stats, terminal, runs),
    writerSection(stats, terminal),
    vitalsSection(stats, terminal),
    deadLetterSection(stats, terminal),
  ]
  return sections.filter((section) => section !== '').join('\n')
}

function relaySection(stats: Stats, terminal: Terminal, runs: boolean): string {
  const { relay, spool, store, redis } = stats
  const rows: [string, string][] = [
    [
      'relay',
      relay === null
        ? terminal.style('yellow', runs ? 'runs, but has not answered' : 'not running')
        : `${terminal.style('green', 'running')}, pid ${relay.pid}, ${relay.url}, for ${duration(Date.now() - Date.parse(relay.startedAt))}`,
    ],
    ...spool.flatMap((dir): [string, string][] => {
      const cap = dir.capBytes === null ? '' : ` of ${bytes(dir.capBytes)}`
      const unread = dir.unreadBytes > 0 ? `, ${bytes(dir.unreadBytes)} not read yet` : ''
      const size = `${plural(dir.segments, 'segment')}, ${bytes(dir.bytes)}${cap}${unread}`
      const alone = dir.leftAlone.map(({ path, fault }): [string, string] => {
        return ['', terminal.style('red', `left alone: ${printable(path)} ${printable(fault)}`)]
      })
      const more = alone.length - MAX_LEFT_ALONE
      if (more > 0) alone.splice(MAX_LEFT_ALONE, more, ['', `… and ${plural(more, 'file')} more`])
      return [[`${dir.tier} spool`, `${printable(dir.dir)}: ${size}`], ...alone]
    }),
  ]
  if (store !== null) {
    const full = ', full: nothing is read until there is room'
    const room = relay?.storeFull ? terminal.style('red', full) : ''
    rows.push(['store', `${printable(store.dir)}: ${bytes(store.bytes)}${room}`])
  }
  if (redis) {
    const entries = redis.streams.reduce((sum, { length }) => sum + length, 0)
    const streams = plural(redis.streams.length, 'stream')
    const length = `${count(entries)} ${entries === 1 ? 'entry' : 'entries'} in ${streams}`
    const full = redis.streams.filter(({ length }) => length >= NEARLY_FULL * redis.maxLength)
    rows.push(['redis', `${printable(redis.url)}: ${length}`])
    if (full.length > 0) rows.push(['', fullText(full, redis.maxLength, terminal)])
    const dead = deadText(redis.dead)
    if (dead !== '') rows.push(['', terminal.style('red', dead)])
    for (const group of redis.groups) rows.push(['', groupText(group, terminal)])
  }
  if (stats.redisList) rows.push(...listRows(stats.redisList, terminal))
  return rows.map(([title, text]) => `${terminal.style('dim', title.padEnd(13))}${text}\n`).join('')
}

function listRows(list: RedisListStats, terminal: Terminal): [string, string][] {
  const { length, processing, unreadBytes, taken, malformed, givenBack, dead } = list
  const known = (n: number | null): string => (n === null ? 'unknown' : count(n))
  const facts = [`${known(length)} waiting`, `${known(processing)} being taken`]
  if (unreadBytes > 0) facts.push(`${bytes(unreadBytes)} not read yet`)
  facts.push(`${count(taken)} taken`)
  if (givenBack > 0) facts.push(`${count(givenBack)} given back for dead relays`)
  const place = `${printable(list.url)} ${printable(list.list)}`
  const rows: [string, string][] = [['redis list', `${place}: ${facts.join(', ')}`]]
  const tell = (style: Style, text: string): void => {
    rows.push(['', terminal.style(style, text)])
  }
  if (list.trouble !== null) {
    const style = list.state === 'refused' ? 'red' : 'yellow'
    tell(style, `${list.state}: ${printable(list.trouble)}`)
  }
  if (list.waiting !== null) tell('yellow', `nothing is taken: ${printable(list.waiting)}`)
  if (malformed > 0) {
    const reason = list.lastMalformed?.reason ?? ''
    tell('red', `${count(malformed)} were no record, the last one ${printable(reason)}`)
  }
  if ((list.deadLength ?? 0) > 0) {
    tell('red', `${known(list.deadLength)} in the stream ${printable(dead)}, with reasons`)
  }
  return rows
}

/** Streams to which nothing is added any more, or soon. */
function fullText(
  streams: NonNullable<Stats['redis']>['streams'],
  maxLength: number,
  terminal: Terminal,
): string {
  const named = streams.map(({ stream, length }) => `${printable(stream)} has ${count(length)}`)
  const text = `full, or nearly: ${named.join(', ')} of ${count(maxLength)} entries`
  return terminal.style('red', text)
}

/** Of dead letters that were dropped, or will be soon. */
function deadText({ stream, length, maxLength, trimmed }: RedisDeadStats): string {
  const facts: string[] = []
  if (length !== null && length >= NEARLY_FULL * maxLength) {
    const of = `${count(length)} of ${count(maxLength)} dead letters`
    facts.push(`${printable(stream)} has ${of}, beyond which the oldest are dropped`)
  }
  if (trimmed > 0) facts.push(`${plural(trimmed, 'dead letter')} dropped`)
  return facts.join('; ')
}

function groupText(group: RedisGroupStats, terminal: Terminal): string {
  const { name, trouble, pending, lag, heldEntries, shelvedEntries } = group
  const { takenOver, damaged, condemned, lost } = group
  const facts = [
    shelvedEntries > 0
      ? `${count(heldEntries)} held here (${count(shelvedEntries)} wait for keys)`
      : `${count(heldEntries)} held here`,
    `${count(pending)} by all relays`,
    `${lag === null ? 'unknown' : count(lag)} waiting`,
  ]
  if (takenOver > 0) facts.push(`${count(takenOver)} taken over`)
  const bad: string[] = []
  if (trouble !== null) bad.push(`cannot read: ${printable(trouble)}`)
  if (damaged > 0) bad.push(`${count(damaged)} damaged`)
  if (condemned > 0) bad.push(`${count(condemned)} given up after five relays`)
  if (lost > 0) bad.push(`${count(lost)} lost`)
  const told = bad.length === 0 ? '' : `, ${terminal.style('red', bad.join(', '))}`
  return `group ${printable(name)}: ${facts.join(', ')}${told}`
}

function observationSection(stats: Stats, terminal: Terminal): string {
  const { accepted, open, interrupted, lost, lostScores, counters } = stats
  const lines = [
    `${plural(accepted, 'observation')} accepted, ${count(open)} open, ${count(interrupted)} interrupted`,
  ]
  if (Object.keys(lost).length > 0) {
    lines.push(terminal.style('red', `lost: ${byReason(lost)}`))
  }
  if (Object.keys(lostScores).length > 0) {
    lines.push(terminal.style('red', `scores lost: ${byReason(lostScores)}`))
  }
  const noted = NOTED.flatMap(([name, one, many]) => {
    const value = counters[name] ?? 0
    return value > 0 ? [`${count(value)} ${value === 1 ? one : many}`] : []
  })
  if (noted.length > 0) lines.push(terminal.style('yellow', noted.join(', ')))
  return `${lines.join('\n')}\n`
}

/** Counters that somebody should know of. */
const NOTED: readonly (readonly [name: string, one: string, many: string])[] = [
  ['corruptFrames', 'damaged frame passed over', 'damaged frames passed over'],
  ['tornTails', 'torn tail', 'torn tails'],
  ['malformedRecords', 'malformed record', 'malformed records'],
  ['malformedFields', 'malformed field', 'malformed fields'],
  ['unknownRecords', 'record of an unknown kind', 'records of unknown kinds'],
  ['orphanRecords', 'record without a start', 'records without a start'],
  ['danglingReferences', 'reference to what was lost', 'references to what was lost'],
  ['unstorable', 'observation that could not be stored', 'observations that could not be stored'],
  ['unnamedBlobs', 'large value that no record named', 'large values that no record named'],
  [
    'forgottenInterrupted',
    'interrupted observation that is waited for no longer',
    'interrupted observations that are waited for no longer',
  ],
  ['badSegments', 'file left alone', 'files left alone'],
  ['scoresWithoutExporter', 'score that no exporter takes', 'scores that no exporter takes'],
]

function exporterSection({ exporters, relay }: Stats, terminal: Terminal, runs: boolean): string {
  if (exporters.length === 0) {
    return terminal.style('dim', 'no exporter is configured: traces are kept in the store\n')
  }
  const columns = [
    { title: 'EXPORTER' },
    { title: 'STATE' },
    { title: 'ACCEPTED', align: 'end' },
    { title: 'DELIVERED', align: 'end' },
    { title: 'DEAD', align: 'end' },
    { title: 'DROPPED', align: 'end' },
    { title: 'HELD', align: 'end' },
    { title: 'WAITING', align: 'end' },
    { title: 'RESENT', align: 'end' },
  ] as const
  const rows = exporters.map((exporter): Cell[] => {
    const dropped = Object.values(exporter.dropped).reduce((sum, n) => sum + n, 0)
    return [
      { text: exporter.name, style: 'bold' },
      stateCell(exporter.delivery, relay, runs),
      { text: count(exporter.accepted) },
      { text: count(exporter.delivered) },
      { text: count(exporter.deadLettered), ...(exporter.deadLettered > 0 && { style: 'red' }) },
      { text: count(dropped), ...(dropped > 0 && { style: 'red' }) },
      { text: count(exporter.held) },
      { text: bytes(exporter.waitingBytes) },
      { text: exporter.resent > 0 ? count(exporter.resent) : '' },
    ]
  })
  const notes = exporters.flatMap(({ name, delivery, dropped, notResent }) => {
    const lines = [...laneNotes(name, delivery), ...droppedNotes(name, dropped)]
    if (notResent > 0) {
      lines.push(`${name}: ${count(notResent)} changed later, or sent again, did not arrive`)
    }
    return lines
  })
  const text = notes.map((note) => `${terminal.style('yellow', note)}\n`).join('')
  return renderTable(columns, rows, terminal) + text
}

/** Of exporters that were ever given any. */
function apartSection(
  what: 'scores' | 'media',
  { exporters, relay }: Stats,
  terminal: Terminal,
  runs: boolean,
): string {
  const taking = exporters.flatMap((exporter) => {
    const { name, [what]: apart } = exporter
    return apart === null || apart.accepted === 0 ? [] : [{ name, ...apart }]
  })
  if (taking.length === 0) return ''
  const columns = [
    { title: what.toUpperCase() },
    { title: 'STATE' },
    { title: 'ACCEPTED', align: 'end' },
    { title: 'DELIVERED', align: 'end' },
    { title: 'DEAD', align: 'end' },
    { title: 'DROPPED', align: 'end' },
    { title: 'HELD', align: 'end' },
    { title: 'WAITING', align: 'end' },
  ] as const
  const rows = taking.map((one): Cell[] => {
    const dropped = Object.values(one.dropped).reduce((sum, n) => sum + n, 0)
    return [
      { text: one.name, style: 'bold' },
      stateCell(one.delivery, relay, runs),
      { text: count(one.accepted) },
      { text: count(one.delivered) },
      { text: count(one.deadLettered), ...(one.deadLettered > 0 && { style: 'red' }) },
      { text: count(dropped), ...(dropped > 0 && { style: 'red' }) },
      { text: count(one.held) },
      { text: bytes(one.heldBytes) },
    ]
  })
  const notes = taking.flatMap(({ name, delivery, dropped }) => {
    const who = `${what} to ${name}`
    return [...laneNotes(who, delivery), ...droppedNotes(who, dropped)]
  })
  const text = notes.map((note) => `${terminal.style('yellow', note)}\n`).join('')
  return renderTable(columns, rows, terminal) + text
}

type DeliveryStats = Stats['exporters'][number]['delivery']

function stateCell(delivery: DeliveryStats, relay: Stats['relay'], runs: boolean): Cell {
  const state =
    delivery?.state ?? (relay !== null ? 'not configured' : runs ? 'unknown' : 'stopped')
  return { text: state, style: STATE_STYLES[state] ?? 'dim' }
}

export function laneNotes(name: string, delivery: DeliveryStats): string[] {
  const lanes = delivery?.lanes ?? []
  return lanes.flatMap(({ project, state, since, message }) => {
    if (state === 'ok') return []
    const other = lanes.length > 1 ? ', without project' : ''
    const what = name === 'redis' ? 'stream' : 'project'
    const who = `${name}${project === '' ? other : `, ${what} ${printable(project)}`}`
    const time = clockTime(new Date(since))
    return [`${who}: ${state} since ${time}: ${printable(message ?? '')}`]
  })
}

function droppedNotes(name: string, dropped: Readonly<Record<string, number>>): string[] {
  return Object.keys(dropped).length === 0 ? [] : [`${name}: dropped ${byReason(dropped)}`]
}

function byReason(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([reason, n]) => `${count(n)} ${printable(reason)}`)
    .join(', ')
}

const STATE_STYLES: Readonly<Record<string, Style>> = {
  ok: 'green',
  retrying: 'yellow',
  unauthorized: 'red',
  misconfigured: 'red',
  'no-keys': 'red',
}

function writerSection({ writers }: Stats, terminal: Terminal): string {
  if (writers.length === 0) return ''
  const rank = (alive: boolean | null): number => (alive === true ? 0 : alive === null ? 1 : 2)
  const sorted = writers.toSorted((a, b) => rank(a.alive) - rank(b.alive))
  const columns = [
    { title: 'WRITER' },
    { title: 'SERVICE', flexible: true },
    { title: 'PID', align: 'end' },
    { title: 'HOST', flexible: true },
    { title: 'LIFE' },
    { title: 'OPEN', align: 'end' },
    { title: 'SEGMENTS', align: 'end' },
  ] as const
  const rows = sorted
    .slice(0, MAX_WRITERS)
    .map((writer): Cell[] => [
      { text: printable(writer.id) },
      { text: printable(writer.service ?? '') },
      { text: String(writer.pid) },
      { text: printable(writer.host) },
      writer.alive === true
        ? { text: 'alive', style: 'green' }
        : { text: writer.alive === null ? 'unknown' : 'dead', style: 'dim' },
      { text: count(writer.open) },
      { text: count(writer.segments) },
    ])
  const more = writers.length - MAX_WRITERS
  return (
    renderTable(columns, rows, terminal) +
    (more > 0 ? terminal.style('dim', `… and ${plural(more, 'writer')} more\n`) : '')
  )
}

function vitalsSection({ vitals }: Stats, terminal: Terminal): string {
  if (vitals.length === 0) return ''
  const columns = [
    { title: 'COST OF TRACING', flexible: true },
    { title: 'PER OBSERVATION', align: 'end' },
    { title: 'PER TRACE', align: 'end' },
    { title: 'LONGEST LOOP DELAY', align: 'end' },
    { title: 'RSS', align: 'end' },
    { title: 'OVER', align: 'end' },
  ] as const
  const rows = vitals.map((one): Cell[] => [
    { text: printable(one.service ?? '(no service name)') },
    { text: `${one.microsecondsPerObservation} µs` },
    { text: one.microsecondsPerTrace === null ? '' : `${one.microsecondsPerTrace} µs` },
    { text: duration(one.loopDelayMaxMs) },
    { text: bytes(one.rssBytes) },
    { text: duration(one.seconds * 1000) },
  ])
  return renderTable(columns, rows, terminal)
}

function deadLetterSection(
  { deadLetters, deadScores, deadMedia }: Stats,
  terminal: Terminal,
): string {
  const scores = deadScores.map((score) => ({
    ...score,
    traceId: score.traceId ?? '',
    name: `score ${score.name}`,
  }))
  const media = deadMedia.map((one) => ({ ...one, name: `${one.contentType} in ${one.field}` }))
  const letters = [...deadLetters, ...scores, ...media].sort((a, b) => b.time.localeCompare(a.time))
  if (letters.length === 0) return ''
  const columns = [
    { title: 'DEAD LETTER' },
    { title: 'EXPORTER' },
    { title: 'TRACE' },
    { title: 'NAME', flexible: true },
    { title: 'REASON', flexible: true },
  ] as const
  const rows = letters
    .slice(0, MAX_DEAD_LETTERS)
    .map((letter): Cell[] => [
      { text: clockTime(new Date(letter.time)) },
      { text: letter.exporter },
      { text: printable(letter.traceId.slice(0, 12)), style: 'cyan' },
      { text: printable(letter.name) },
      { text: printable(letter.reason), style: 'red' },
    ])
  const all = terminal.style('dim', '`offpath dead ls` lists them all\n')
  return renderTable(columns, rows, terminal) + all
}
