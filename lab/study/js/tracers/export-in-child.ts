import { fork } from 'node:child_process'
import { join } from 'node:path'
import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-base'
import type { ChildUsage } from './tracer.ts'

/** A span as plain data: what a structured clone can carry. */
type PlainSpan = Omit<ReadableSpan, 'spanContext' | 'resource'> & {
  readonly spanContext: ReturnType<ReadableSpan['spanContext']>
  readonly resource: ReadableSpan['resource']['attributes']
}

export type ToChild = { readonly batch: number; readonly spans: PlainSpan[] } | 'usage'
export type FromChild = { readonly batch: number; readonly code: ExportResultCode } | ChildUsage

/**
 * Batches go to a child process as they are, as a structured clone through a pipe; it encodes and posts them with the
 * exporter that would have done so here. What this thread still pays is the clone and the writing of it.
 */
export function exportInChild(sink: string): {
  exporter: SpanExporter
  usage(): Promise<ChildUsage>
} {
  const child = fork(join(import.meta.dirname, 'export.child.ts'), [sink], {
    serialization: 'advanced',
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  const waiting = new Map<number, (result: ExportResult) => void>()
  let drained: () => void = () => {}
  let tellUsage: (usage: ChildUsage) => void = () => {}
  let last = 0
  child.on('message', (message: FromChild) => {
    if (!('batch' in message)) return tellUsage(message)
    waiting.get(message.batch)?.({ code: message.code })
    waiting.delete(message.batch)
    if (waiting.size === 0) drained()
  })
  child.once('exit', (code) => {
    for (const done of waiting.values()) done({ code: ExportResultCode.FAILED })
    if (code !== 0) console.error(`the exporting child ended with ${code}`)
  })
  const send = (message: ToChild): void => void child.send(message)
  return {
    exporter: {
      export(spans, done) {
        waiting.set(++last, done)
        send({ batch: last, spans: spans.map(plain) })
      },
      forceFlush: () =>
        new Promise((resolve) => {
          drained = resolve
          if (waiting.size === 0) resolve()
        }),
      shutdown: async () => child.disconnect(),
    },
    usage: () =>
      new Promise((resolve) => {
        tellUsage = resolve
        send('usage')
      }),
  }
}

function plain(span: ReadableSpan): PlainSpan {
  return {
    name: span.name,
    kind: span.kind,
    spanContext: span.spanContext(),
    ...(span.parentSpanContext && { parentSpanContext: span.parentSpanContext }),
    startTime: span.startTime,
    endTime: span.endTime,
    status: span.status,
    attributes: span.attributes,
    links: span.links,
    events: span.events,
    duration: span.duration,
    ended: span.ended,
    resource: span.resource.attributes,
    instrumentationScope: span.instrumentationScope,
    droppedAttributesCount: span.droppedAttributesCount,
    droppedEventsCount: span.droppedEventsCount,
    droppedLinksCount: span.droppedLinksCount,
  }
}
