import { types } from 'node:util'
import { setStatus } from '../api/otel-span.ts'
import { endSpan } from '../api/spans.ts'
import { type ActiveContext, state } from '../context.ts'
import type { Span } from '../recorder/span.ts'
import { FIELD } from '../spool/format.ts'
import { Collected } from './collected.ts'

const STATUS_ERROR = 2

/** What a followed result tells. */
export type Observer = Pick<Ending, 'context' | 'settled' | 'collect' | 'succeed' | 'fail'>

/** How an observation ends once its function's result is complete. Happens once; what comes later is ignored. */
export class Ending {
  readonly span: Span
  /** What is in force while the function's body runs. */
  readonly context: ActiveContext
  /** How an error shows: as level and message (observe), or as the span's status (startActiveObservation). */
  readonly #errorAs: 'level' | 'status'
  readonly #captureOutput: boolean
  readonly #endOnExit: boolean
  readonly #type: number
  // Spans are numbered by their recorder: an end that comes after it was replaced must not reach the next one.
  readonly #recorder = state.recorder
  #settled = false
  #collected: Collected | undefined

  constructor(
    span: Span,
    context: ActiveContext,
    errorAs: 'level' | 'status',
    captureOutput: boolean,
    endOnExit: boolean,
  ) {
    this.span = span
    this.context = context
    this.#errorAs = errorAs
    this.#captureOutput = captureOutput
    this.#endOnExit = endOnExit
    this.#type = span.type
  }

  get settled(): boolean {
    return this.#settled
  }

  /** Something was yielded, or read from a stream. */
  collect(item: unknown): void {
    if (!this.#captureOutput || this.#settled) return
    this.#collected ??= new Collected()
    this.#collected.add(item)
  }

  /** The result is complete. What was collected is the output, `value` if nothing was. */
  succeed(value: unknown): void {
    if (!this.#isOpen()) return
    if (this.#captureOutput) {
      const output = this.#collected?.output() ?? value
      this.#restoreType()
      if (output !== undefined && output !== null) {
        state.recorder?.set(this.span, FIELD.output, output)
      }
    }
    this.#settle()
  }

  fail(error: unknown): void {
    if (!this.#isOpen()) return
    const isError = error instanceof Error || types.isNativeError(error)
    if (this.#errorAs === 'status') {
      setStatus(this.span, STATUS_ERROR, isError ? error.message : 'Unknown error')
    } else {
      const text = textOf(error)
      this.#restoreType()
      state.recorder?.update(this.span, {
        level: 'ERROR',
        statusMessage: (isError ? error.message : text) || 'Function threw an error',
        output: this.#captureOutput ? (this.#collected?.output() ?? { error: text }) : undefined,
      })
    }
    this.#settle()
  }

  // As in Langfuse: what observe writes comes with the observation's own type, whatever it was changed to meanwhile.
  #restoreType(): void {
    if (this.span.type !== this.#type) state.recorder?.setType(this.span, this.#type)
  }

  #isOpen(): boolean {
    return !this.#settled && this.#recorder === state.recorder
  }

  #settle(): void {
    this.#settled = true
    this.#collected = undefined
    if (this.#endOnExit) endSpan(this.span, undefined)
  }
}

function textOf(error: unknown): string {
  try {
    return String(error)
  } catch {
    return Object.prototype.toString.call(error)
  }
}
