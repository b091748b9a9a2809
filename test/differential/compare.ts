import type { Attributes, AttributeValue, CapturedSpan } from '../langfuse-server/types.ts'
import * as given from './given.ts'
import { type IntendedDifference, placeOf } from './intended.ts'
import type { Run } from './run.ts'

/** One thing that is not the same, as a person would like to read it. */
export interface Difference {
  program: string
  /** Name of the span; '' for what the program reported. */
  span: string
  /** 'attributes.langfuse.observation.input', 'status.code', 'parent' …; 'exists' for the span itself. */
  field: string
  /** Rendered values, their types visible; 'absent' where there is none. */
  langfuse: string
  offpath: string
}

export interface Comparison {
  /** Differences that no entry allows. */
  unexpected: Difference[]
  /** Places of intended differences that occurred. */
  occurred: Set<string>
}

/**
 * Compares what the two libraries made of a program, field by field. Generated ids stand for their
 * place in the structure and clock times for 'clock'; given ones must be the same.
 */
export function compare(
  langfuse: Run,
  offpath: Run,
  intended: readonly IntendedDifference[] = [],
): Comparison {
  const comparison: Comparison = { unexpected: [], occurred: new Set() }
  for (const difference of differences(langfuse, offpath)) {
    const place = placeOf(difference, intended)
    if (place) comparison.occurred.add(place)
    else comparison.unexpected.push(difference)
  }
  return comparison
}

/** A line per difference. */
export function explain(differences: readonly Difference[]): string {
  return differences
    .map(
      ({ program, span, field, langfuse, offpath }) =>
        `${program} > ${span || 'reported'} > ${field}: langfuse ${cut(langfuse)}, offpath ${cut(offpath)}`,
    )
    .join('\n')
}

function differences(langfuse: Run, offpath: Run): Difference[] {
  const found: Difference[] = []
  const left = factsOf(langfuse)
  const right = factsOf(offpath)
  for (const span of union(left, right)) {
    const a = left.get(span)
    const b = right.get(span)
    for (const field of a && b ? union(a, b) : ['exists', ...tellingFields(b)]) {
      const one = a?.get(field) ?? 'absent'
      const other = b?.get(field) ?? 'absent'
      if (one !== other) {
        found.push({ program: langfuse.program, span, field, langfuse: one, offpath: other })
      }
    }
  }
  return found
}

/** What is worth telling of a span that Offpath alone has. */
function tellingFields(facts: Facts | undefined): string[] {
  return [...(facts?.keys() ?? [])].filter((field) =>
    /^(attributes\.|status\.|parent$)/.test(field),
  )
}

type Facts = Map<string, string>

/** Span → field → rendered value. Spans of one name are told apart by their order of start. */
function factsOf(run: Run): Map<string, Facts> {
  const all = new Map<string, Facts>([['', new Map(run.reports)]])
  const names = nameSpans(run.spans)
  const traces = new Map<string, string>()
  for (const span of [...run.spans].sort((a, b) => (names.get(a)! < names.get(b)! ? -1 : 1))) {
    if (!traces.has(span.traceId)) traces.set(span.traceId, `the trace of ${names.get(span)}`)
  }
  const ids = new Map(run.spans.map((span) => [span.spanId, names.get(span)!]))
  const id = (value: string, known: ReadonlyMap<string, string>): string =>
    given.ids.has(value) ? value : (known.get(value) ?? (value === '' ? 'none' : 'unknown'))
  const time = (value: bigint): string =>
    value >= run.from && value <= run.to + aMinute ? 'clock' : String(value)

  for (const span of run.spans) {
    const facts: Facts = new Map(
      Object.entries({
        exists: 'exported',
        trace: id(span.traceId, traces),
        parent: id(span.parentSpanId, ids),
        kind: String(span.kind),
        flags: `0x${span.flags.toString(16)}`,
        traceState: span.traceState,
        start: time(span.startTimeUnixNano),
        end: time(span.endTimeUnixNano),
        order: span.endTimeUnixNano < span.startTimeUnixNano ? 'ends before it starts' : 'sound',
        'status.code': String(span.status.code),
        'status.message': JSON.stringify(span.status.message),
        'scope.name': span.scope.name,
        'scope.version': span.scope.version,
        'scope.schemaUrl': span.scope.schemaUrl,
        'resource.schemaUrl': span.resource.schemaUrl,
        droppedAttributes: String(span.droppedAttributesCount),
        droppedEvents: String(span.droppedEventsCount),
        droppedLinks: String(span.droppedLinksCount),
        events: String(span.events.length),
        links: String(span.links.length),
      }),
    )
    const add = (prefix: string, attributes: Attributes): void => {
      for (const [key, value] of Object.entries(attributes)) {
        facts.set(`${prefix}.${key}`, render(key, value))
      }
    }
    add('attributes', span.attributes)
    add('scope', span.scope.attributes)
    add('resource', span.resource.attributes)
    span.events.forEach((event, i) => {
      facts.set(`events.${i}.name`, event.name)
      facts.set(`events.${i}.time`, time(event.timeUnixNano))
      facts.set(`events.${i}.droppedAttributes`, String(event.droppedAttributesCount))
      add(`events.${i}`, event.attributes)
    })
    span.links.forEach((link, i) => {
      facts.set(`links.${i}.trace`, id(link.traceId, traces))
      facts.set(`links.${i}.span`, id(link.spanId, ids))
      facts.set(`links.${i}.flags`, `0x${link.flags.toString(16)}`)
      facts.set(`links.${i}.traceState`, link.traceState)
      facts.set(`links.${i}.droppedAttributes`, String(link.droppedAttributesCount))
      add(`links.${i}`, link.attributes)
    })
    all.set(names.get(span)!, facts)
  }
  return all
}

function nameSpans(spans: readonly CapturedSpan[]): Map<CapturedSpan, string> {
  const seen = new Map<string, number>()
  const names = new Map<CapturedSpan, string>()
  const byStart = spans.toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano))
  for (const span of byStart) {
    const count = (seen.get(span.name) ?? 0) + 1
    seen.set(span.name, count)
    names.set(span, count === 1 ? `"${span.name}"` : `"${span.name}" ${count}`)
  }
  return names
}

function render(key: string, value: AttributeValue): string {
  // The frames below the first line are the libraries' own.
  if (key === 'exception.stacktrace') return JSON.stringify(String(value).split('\n')[0])
  // OpenTelemetry adds how the process was called.
  if (key === 'service.name' && String(value).startsWith('unknown_service'))
    return 'unknown_service'
  if (typeof value === 'bigint') return `int ${value}`
  if (typeof value === 'number') return `double ${value}`
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return `[${value.map((each) => render('', each)).join(', ')}]`
  if (value !== null && typeof value === 'object') {
    return `{${Object.entries(value).map(([name, each]) => `${name}: ${render('', each)}`)}}`
  }
  return value === null ? 'no value' : JSON.stringify(value)
}

function union(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): Set<string> {
  return new Set([...a.keys(), ...b.keys()])
}

function cut(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}… (${text.length})` : text
}

const aMinute = 60_000_000_000n
