// The server of an exporter: answers as it was told to, and remembers what it took, whatever becomes of the relay.

import type { Clock } from '../../packages/relay/src/export/clock.ts'
import { type Exporter, otlpExporter } from '../../packages/relay/src/export/exporters.ts'
import { type Send, SendError } from '../../packages/relay/src/export/http.ts'
import { decodeSpans } from '../langfuse-server/decode.ts'
import type { CapturedSpan } from '../langfuse-server/types.ts'
import type { Answer } from './steps.ts'

const TIMEOUT_MS = 30_000

export interface Version {
  readonly span: CapturedSpan
  readonly content: string
  /** The relay was told and has noted it: it may not come again. */
  isNoted: boolean
}

export class Destination {
  readonly name: string
  readonly answers: Answer[] = []
  /** By span id, in the order of arrival. */
  readonly taken: Map<string, Version[]> = new Map()
  /** Span ids that it rejects, and those that it said it had dropped. */
  readonly poison: Set<string> = new Set()
  readonly dropped: Set<string> = new Set()
  refusals = 0
  /** What should not have happened. */
  readonly complaints: string[] = []
  requests = 0
  /** Of the present relay: answered, and not yet noted for certain. */
  #answered: Version[] = []

  constructor(name: string) {
    this.name = name
  }

  /** For a relay that may be dead from one moment to the next: then nothing leaves it. */
  exporter(isDead: () => boolean): Exporter {
    const base = otlpExporter({ url: new URL('http://127.0.0.1:9'), headers: {} })
    return {
      ...base,
      name: this.name,
      open: ({ clock }) => ({
        send: (request, signal) =>
          isDead() ? never(signal) : this.#answer(request, signal, clock, isDead),
        close: () => Promise.resolve(),
      }),
    }
  }

  async #answer(...[request, signal, clock, isDead]: [...Parameters<Send>, Clock, () => boolean]) {
    signal.throwIfAborted()
    this.requests++
    const spans = decodeSpans(request.body, 'application/x-protobuf', '', 0)
    const answer = this.answers.shift() ?? 'ok'
    if (answer === 'busy') throw new SendError('busy', 'answered 503', 503)
    if (answer === 'unauthorized') throw new SendError('refused', 'answered 401', 401)
    if (answer !== 'hang') {
      if (spans.some(({ spanId }) => this.poison.has(spanId))) {
        throw new SendError('rejected', 'answered 400: poison', 400)
      }
      const refused = answer === 'partial' ? 1 : 0
      const taken = spans.slice(refused).map((span) => this.#take(span))
      if (answer === 'ok' || answer === 'partial') {
        this.refusals += refused
        for (const { spanId } of spans.slice(0, refused)) this.dropped.add(spanId)
        await Promise.resolve()
        if (isDead()) return never(signal)
        this.#answered.push(...taken)
        return [{ type: 'delivered' as const, spans: request.spans, refused }]
      }
    }
    if (answer !== 'lost') await clock.sleep(TIMEOUT_MS, signal)
    throw new SendError('unreachable', answer === 'lost' ? 'ECONNRESET' : 'no answer')
  }

  #take(span: CapturedSpan): Version {
    const versions = this.taken.get(span.spanId) ?? []
    this.taken.set(span.spanId, versions)
    const content = JSON.stringify(span, (_key, value) =>
      typeof value === 'bigint' ? String(value) : value,
    )
    const known = versions.find((version) => version.content === content)
    if (known?.isNoted) this.complaints.push(`${span.name} came twice`)
    const version = { span, content, isNoted: false }
    versions.push(version)
    return version
  }

  /** Nothing is under way: what was answered is noted. */
  noted(): void {
    for (const version of this.#answered.splice(0)) version.isNoted = true
  }

  /** The relay is dead, and what it had not noted may come again. */
  forgotten(): void {
    this.#answered = []
  }

  /** Somebody has it all sent again. */
  maySendAgain(): void {
    for (const version of [...this.taken.values()].flat()) version.isNoted = false
  }
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
