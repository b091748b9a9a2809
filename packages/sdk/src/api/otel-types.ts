// OpenTelemetry's types, as far as the API shows them (@opentelemetry/api 1.x, structurally the same): with
// them the declarations compile in an application that doesn't have that package. compatibility.test.ts compares.

export type AttributeValue =
  | string
  | number
  | boolean
  | Array<null | undefined | string>
  | Array<null | undefined | number>
  | Array<null | undefined | boolean>

export interface OtelAttributes {
  [name: string]: AttributeValue | undefined
}

/** Seconds and nanoseconds. */
type HrTime = [number, number]

/** HrTime, milliseconds since 1970, performance.now() or a Date. */
export type OtelTimeInput = HrTime | number | Date

interface OtelTraceState {
  set(key: string, value: string): OtelTraceState
  unset(key: string): OtelTraceState
  get(key: string): string | undefined
  serialize(): string
}

export interface OtelSpanContext {
  traceId: string
  spanId: string
  isRemote?: boolean
  traceFlags: number
  traceState?: OtelTraceState
}

export interface OtelLink {
  context: OtelSpanContext
  attributes?: OtelAttributes
  droppedAttributesCount?: number
}

/** Code 0 unset, 1 ok, 2 error. */
export interface OtelSpanStatus {
  code: 0 | 1 | 2
  message?: string
}

export type OtelException =
  | string
  | { code: string | number; name?: string; message?: string; stack?: string }
  | { code?: string | number; name?: string; message: string; stack?: string }
  | { code?: string | number; name: string; message?: string; stack?: string }

export interface OtelSpan {
  spanContext(): OtelSpanContext
  setAttribute(key: string, value: AttributeValue): this
  setAttributes(attributes: OtelAttributes): this
  addEvent(
    name: string,
    attributesOrStartTime?: OtelAttributes | OtelTimeInput,
    startTime?: OtelTimeInput,
  ): this
  addLink(link: OtelLink): this
  addLinks(links: OtelLink[]): this
  setStatus(status: OtelSpanStatus): this
  updateName(name: string): this
  end(endTime?: OtelTimeInput): void
  isRecording(): boolean
  recordException(exception: OtelException, time?: OtelTimeInput): void
}

export interface OtelContext {
  getValue(key: symbol): unknown
  setValue(key: symbol, value: unknown): OtelContext
  deleteValue(key: symbol): OtelContext
}

export interface OtelSpanOptions {
  /** 0 internal, 1 server, 2 client, 3 producer, 4 consumer. */
  kind?: 0 | 1 | 2 | 3 | 4
  attributes?: OtelAttributes
  links?: OtelLink[]
  startTime?: OtelTimeInput
  root?: boolean
}

export interface OtelTracer {
  startSpan(name: string, options?: OtelSpanOptions, context?: OtelContext): OtelSpan
  startActiveSpan<F extends (span: OtelSpan) => unknown>(name: string, fn: F): ReturnType<F>
  startActiveSpan<F extends (span: OtelSpan) => unknown>(
    name: string,
    options: OtelSpanOptions,
    fn: F,
  ): ReturnType<F>
  startActiveSpan<F extends (span: OtelSpan) => unknown>(
    name: string,
    options: OtelSpanOptions,
    context: OtelContext,
    fn: F,
  ): ReturnType<F>
}

export interface OtelTracerProvider {
  getTracer(name: string, version?: string, options?: { schemaUrl?: string }): OtelTracer
}
