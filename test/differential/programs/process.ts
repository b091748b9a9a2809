import {
  createTraceId,
  getActiveSpanId,
  getActiveTraceId,
  observe,
  propagateAttributes,
  startActiveObservation,
  startObservation,
  updateActiveObservation,
} from '#tracing'
import * as given from '../given.ts'
import type { Program, Report } from '../program.ts'

async function everything(report: Report): Promise<void> {
  const root = startObservation('root', { input: 1 })
  const child = root.startObservation('child')
  report('ids', [root.id === '0'.repeat(16), root.traceId === '0'.repeat(32)])
  report('child', [child.id === '0'.repeat(16), child.traceId === root.traceId])
  report('recording', root.otelSpan.isRecording())
  report('flags', root.otelSpan.spanContext().traceFlags)
  report('chains', child.update({ output: 1 }) === child && child.setTraceIO({}) === child)
  root.otelSpan.setAttribute('a', 1).addEvent('e')
  child.end()
  root.end()
  report(
    'active',
    startActiveObservation('active', (active) => {
      updateActiveObservation({ input: 1 })
      report('active ids', [
        getActiveSpanId() === active.id,
        getActiveTraceId() === active.traceId,
        getActiveSpanId() === undefined,
      ])
      return 3
    }),
  )
  report('async', await startActiveObservation('async', async () => 4))
  report('observed', observe((n: number) => n + 1, { name: 'observed' })(1))
  report(
    'propagated',
    propagateAttributes({ userId: 'u' }, () => 5),
  )
  report('seed', await createTraceId('seed'))
  try {
    startActiveObservation('throws', () => {
      throw new Error('broke')
    })
  } catch (error) {
    report('error', String(error))
  }
  const below = startObservation('below a parent', {}, { parentSpanContext: given.parent })
  report('below', [below.traceId, below.id === given.spanId, below.otelSpan.isRecording()])
  below.end()
}

export const processWide: Program[] = [
  {
    name: 'service name and resource attributes',
    env: {
      OTEL_SERVICE_NAME: 'billing',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.region=eu,service.name=overridden,team=a%20b',
    },
    run: () => startObservation('span').end(),
  },
  {
    name: 'environment and release of the process',
    env: { LANGFUSE_TRACING_ENVIRONMENT: 'Not_Valid!', LANGFUSE_RELEASE: 'v1.2.3+build' },
    run: () => startObservation('span').end(),
  },
  {
    name: 'empty environment variables',
    env: { LANGFUSE_TRACING_ENVIRONMENT: '', LANGFUSE_RELEASE: '' },
    run: () => startObservation('span').end(),
  },
  {
    name: 'sampling nothing',
    env: {
      LANGFUSE_SAMPLE_RATE: '0',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0',
    },
    run: everything,
  },
  {
    name: 'sampling everything',
    env: {
      LANGFUSE_SAMPLE_RATE: '1',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '1',
    },
    run: everything,
  },
  {
    name: 'disabled',
    env: { LANGFUSE_TRACING_ENABLED: 'false', OTEL_SDK_DISABLED: 'true' },
    run: everything,
  },
]
