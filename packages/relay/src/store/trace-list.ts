import type { TraceSection } from './chunk.ts'
import type { Resource } from './span.ts'
import { addTokens, type Tokens } from './tokens.ts'
import { KEY_BYTES, TraceKeys } from './trace-keys.ts'

// A trace lies in as many chunks as commits brought something of it; a list shows it once, where its newest part lies.

/** A trace in a list; times in milliseconds since 1970. */
export interface TraceRow {
  /** Hex. */
  readonly id: string
  /** Name of the root, once it has ended; else of the trace, if it was given one. */
  readonly name: string | null
  /** Its root has ended. */
  readonly complete: boolean
  readonly service: string | null
  readonly environment: string | null
  readonly userId: string | null
  readonly sessionId: string | null
  readonly firstStart: number
  readonly lastEnd: number
  readonly spans: number
  readonly errors: number
  /** Of level WARNING. */
  readonly warnings: number
  readonly interrupted: number
  /** Of all observations; null: none says. */
  readonly tokens: Tokens | null
}

/** Where a page begins: the traces of a chunk before the index, and older chunks. */
interface Start {
  readonly chunk: number
  readonly index: number
}

/** A page of traces, filled from the newest chunk to the oldest. */
export class PageOfTraces {
  readonly start: Start
  /** For the next page's `before`; null as long as this one is not full. */
  next: string | null = null
  readonly #limit: number
  readonly #keysFrom: (chunk: number) => Iterable<Buffer>
  readonly #found = new Map<string, TraceBuilder>()
  /** On a page before, for something of them was stored later. */
  readonly #shown = new Set<string>()
  /** Of these it is not known yet. */
  #unchecked = new TraceKeys<TraceBuilder>()

  /** `keysFrom` gives the keys of a chunk, then those of all that were stored after it. */
  constructor(
    limit: number,
    before: string | undefined,
    keysFrom: (chunk: number) => Iterable<Buffer>,
  ) {
    this.#limit = limit
    this.start = startOf(before)
    this.#keysFrom = keysFrom
  }

  /** Adds what a chunk holds of traces that are on the page, and, if it `isWanted`, further traces. */
  add(
    chunk: number,
    sections: readonly TraceSection[],
    resource: Resource,
    isWanted: boolean,
  ): void {
    for (let index = sections.length - 1; index >= 0; index--) {
      const section = sections[index] as TraceSection
      const id = section.traceId.toString('hex')
      const isBehind = chunk === this.start.chunk && index >= this.start.index
      const known = this.#found.get(id)
      if (known !== undefined) known.add(section, resource)
      else if (isWanted && !isBehind && !this.#shown.has(id)) {
        if (this.#found.size === this.#limit) this.#removeShown()
        if (this.#found.size === this.#limit) {
          this.next ??= `${chunk}.${index + 1}`
          continue
        }
        const trace = new TraceBuilder(id, section, resource)
        this.#found.set(id, trace)
        if (this.start.chunk !== NEWEST) this.#unchecked.set(section.traceId, trace)
      }
    }
  }

  #removeShown(): void {
    if (this.#unchecked.size === 0) return
    let at = this.start.index * KEY_BYTES
    for (const keys of this.#keysFrom(this.start.chunk)) {
      for (; at < keys.length; at += KEY_BYTES) {
        const trace = this.#unchecked.at(keys, at)
        if (trace === undefined) continue
        this.#found.delete(trace.id)
        this.#shown.add(trace.id)
      }
      at = 0
    }
    this.#unchecked = new TraceKeys()
  }

  traces(): TraceBuilder[] {
    this.#removeShown()
    return [...this.#found.values()]
  }
}

const NEWEST = Number.MAX_SAFE_INTEGER

function startOf(before: string | undefined): Start {
  const [chunk, index] = (before ?? '').split('.').map(Number)
  if (!Number.isSafeInteger(chunk) || !Number.isSafeInteger(index)) {
    return { chunk: NEWEST, index: 0 }
  }
  return { chunk: chunk as number, index: index as number }
}

/** Finds what chunks older than a page hold of its traces. */
export class OlderParts {
  /** The earliest start of the traces (ms). */
  oldest: number = Number.POSITIVE_INFINITY
  readonly #traces = new Map<string, TraceBuilder>()
  readonly #keys = new TraceKeys<TraceBuilder>()

  constructor(traces: readonly TraceBuilder[]) {
    for (const trace of traces) {
      this.#traces.set(trace.id, trace)
      this.#keys.set(trace.traceId, trace)
      this.oldest = Math.min(this.oldest, trace.first)
    }
  }

  /** Whether a chunk with these keys holds something. */
  areIn(keys: Buffer): boolean {
    for (let at = 0; at < keys.length; at += KEY_BYTES) {
      if (this.#keys.at(keys, at) !== undefined) return true
    }
    return false
  }

  add(sections: readonly TraceSection[], resource: Resource): void {
    for (const section of sections) {
      const trace = this.#traces.get(section.traceId.toString('hex'))
      if (trace === undefined) continue
      trace.add(section, resource)
      this.oldest = Math.min(this.oldest, trace.first)
    }
  }
}

/** A trace from what chunks hold of it. */
export class TraceBuilder {
  /** Hex. */
  readonly id: string
  readonly traceId: Buffer
  /** See `TraceSection.root`. */
  root: number
  first: number
  #section: TraceSection
  #resource: Resource
  #last: number
  #spans: number
  #errors: number
  #warnings: number
  #interrupted: number
  #traceName: string | null
  #user: string | null
  #session: string | null
  #tokens: Tokens | null

  constructor(id: string, section: TraceSection, resource: Resource) {
    this.id = id
    this.traceId = section.traceId
    this.root = section.root
    this.first = section.first
    this.#section = section
    this.#resource = resource
    this.#last = section.last
    this.#spans = section.spans
    this.#errors = section.errors
    this.#warnings = section.warnings
    this.#interrupted = section.interrupted
    this.#traceName = section.traceName
    this.#user = section.user
    this.#session = section.session
    this.#tokens = section.tokens
  }

  add(section: TraceSection, resource: Resource): void {
    // The root says what a trace is; without one, its earliest part.
    if (section.root > this.root || (section.root === this.root && section.first < this.first)) {
      this.root = section.root
      this.#section = section
      this.#resource = resource
    }
    this.first = Math.min(this.first, section.first)
    this.#last = Math.max(this.#last, section.last)
    this.#spans += section.spans
    this.#errors += section.errors
    this.#warnings += section.warnings
    this.#interrupted += section.interrupted
    this.#traceName ??= section.traceName
    this.#user ??= section.user
    this.#session ??= section.session
    this.#tokens = addTokens(this.#tokens, section.tokens)
  }

  row(): TraceRow {
    const { name, environment } = this.#section
    return {
      id: this.id,
      name: this.root > 0 ? name : this.#traceName,
      complete: this.root > 0,
      service: this.#resource.service,
      environment: environment ?? this.#resource.environment,
      userId: this.#user,
      sessionId: this.#session,
      firstStart: this.first,
      lastEnd: this.#last,
      spans: this.#spans,
      errors: this.#errors,
      warnings: this.#warnings,
      interrupted: this.#interrupted,
      tokens: this.#tokens,
    }
  }
}
