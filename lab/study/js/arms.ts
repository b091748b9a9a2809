import type { Arm } from '../arms.ts'
import type { CaseName } from '../cases.ts'
import type { Settings } from './settings.ts'

// The interventions and the like run in one case that fits: RAG, where the SDK as installed is known to stall the loop, if
// the question is not another one.

const MAIN: readonly CaseName[] = ['chat', 'rag', 'longctx', 'vi', 'agent']
const TUNED_CASES: Readonly<Record<number, readonly CaseName[]>> = {
  10: MAIN,
  50: ['rag', 'longctx', 'agent'],
}

interface JsArm extends Arm {
  readonly settings: Settings & Arm['settings']
}

const TITLES = { langfuse: 'Langfuse', file: 'a file', offpath: 'Offpath' } as const

const langfuse = { tracer: 'langfuse' } as const
const offpath = { tracer: 'offpath' } as const

/** What the study of JavaScript compares. */
export const JS_ARMS: readonly JsArm[] = [
  {
    id: 'untraced',
    title: 'untraced',
    what: 'The service without any tracing.',
    group: 'baseline',
    cases: [...MAIN, 'audio'],
    settings: {},
    swept: true,
  },
  {
    id: 'langfuse',
    title: 'Langfuse',
    what: '@langfuse/tracing and @langfuse/otel 5.11.1 as installed: 512 observations a batch, or what there is every 5 s.',
    group: 'installed',
    cases: MAIN,
    settings: langfuse,
    swept: true,
    attributed: ['rag', 'longctx', 'vi', 'agent'],
  },
  {
    id: 'otel',
    title: 'OpenTelemetry to a collector',
    what: 'The bare OpenTelemetry SDK: BatchSpanProcessor, OTLP/protobuf over HTTP to an endpoint beside the service.',
    group: 'installed',
    cases: ['rag', 'longctx', 'agent'],
    settings: { tracer: 'otel' },
    swept: true,
    attributed: ['rag', 'longctx'],
  },

  ...[10, 50, 512].map(
    (flushAt): JsArm => ({
      id: `langfuse-flush-${flushAt}`,
      title: `Langfuse, flushAt ${flushAt}`,
      what: `new LangfuseSpanProcessor({ flushAt: ${flushAt}, flushInterval: 30 }).`,
      group: 'tuned',
      cases: TUNED_CASES[flushAt] ?? ['rag'],
      settings: { ...langfuse, flushAt, flushInterval: 30 },
      swept: flushAt === 10,
    }),
  ),
  {
    id: 'langfuse-sample',
    title: 'Langfuse, 1 trace in 10',
    what: "OpenTelemetry's TraceIdRatioBasedSampler(0.1): the SDK for JavaScript has no sample rate of its own.",
    group: 'tuned',
    cases: ['rag'],
    settings: { ...langfuse, sampleRate: 0.1 },
  },
  {
    id: 'langfuse-immediate',
    title: 'Langfuse, immediate export',
    what: "exportMode: 'immediate': each observation is a request of its own.",
    group: 'tuned',
    cases: ['chat'],
    settings: { ...langfuse, exportMode: 'immediate' },
  },
  {
    id: 'langfuse-flush-each',
    title: 'Langfuse, flush each request',
    what: 'await forceFlush() before each answer leaves.',
    group: 'tuned',
    cases: ['chat'],
    settings: { ...langfuse, flushEachRequest: true },
    attributed: ['chat'],
  },
  ...[2, 4].flatMap((workers): JsArm[] => [
    {
      id: `untraced-workers-${workers}`,
      title: `untraced, ${workers} workers`,
      what: `The service without tracing in ${workers} processes on one port.`,
      group: 'baseline',
      cases: ['rag'],
      settings: {},
      workers,
    },
    {
      id: `langfuse-workers-${workers}`,
      title: `Langfuse, ${workers} workers`,
      what: `Langfuse as installed in each of ${workers} processes on one port.`,
      group: 'tuned',
      cases: ['rag'],
      against: `untraced-workers-${workers}`,
      settings: langfuse,
      workers,
    },
  ]),

  {
    id: 'langfuse-observe',
    title: 'Langfuse, observe',
    what: 'The same observations by functions wrapped with observe, in the place of active observations.',
    group: 'style',
    cases: ['rag', 'agent'],
    settings: { ...langfuse, style: 'observe' },
  },
  {
    id: 'langfuse-few',
    title: 'Langfuse, 2 observations',
    what: 'Of 60 observations the agent records two: the run and the generation.',
    group: 'style',
    cases: ['agent'],
    settings: { ...langfuse, few: true },
  },

  {
    id: 'untraced-langchain',
    title: 'untraced, LangChain',
    what: 'The model called through LangChain, 200 tokens streamed, no callback handler.',
    group: 'baseline',
    cases: ['chat'],
    settings: { attached: 'langchain' },
  },
  {
    id: 'langfuse-langchain',
    title: 'Langfuse, LangChain handler',
    what: "The same with @langfuse/langchain's CallbackHandler, which is called for each token.",
    group: 'integration',
    cases: ['chat'],
    against: 'untraced-langchain',
    settings: { ...langfuse, attached: 'langchain' },
  },
  {
    id: 'untraced-logs',
    title: 'untraced, 20 log lines',
    what: '20 log lines a request by pino, formatted and dropped.',
    group: 'baseline',
    cases: ['chat'],
    settings: { attached: 'logs' },
  },
  {
    id: 'langfuse-logs',
    title: 'Langfuse, log handler',
    what: 'A log destination turns each of 20 lines a request into an updateActiveObservation.',
    group: 'integration',
    cases: ['chat'],
    against: 'untraced-logs',
    settings: { ...langfuse, attached: 'logs' },
  },
  {
    id: 'langfuse-prompt',
    title: 'Langfuse, prompt not cached',
    what: 'prompt.get(…, { cacheTtlSeconds: 0 }) in each request. The server answers after 5 ms.',
    group: 'integration',
    cases: ['chat'],
    settings: { ...langfuse, attached: 'prompt' },
    sinkLatencyMs: 5,
  },
  ...([undefined, 'bytes'] as const).flatMap((media): JsArm[] => {
    const kind = media ?? 'base64'
    const what =
      media === undefined
        ? '1.5 MB of WAV as a data URI in the message, as clients send it.'
        : "1.5 MB of WAV as new LangfuseMedia({ source: 'bytes', … })."
    return [
      {
        id: `langfuse-audio-${kind}`,
        title: `Langfuse, audio as ${kind}`,
        what,
        group: 'integration',
        cases: ['audio'],
        settings: { ...langfuse, ...(media && { media }) },
        attributed: ['audio'],
      },
      {
        id: `offpath-audio-${kind}`,
        title: `Offpath, audio as ${kind}`,
        what,
        group: 'elsewhere',
        cases: ['audio'],
        settings: { ...offpath, ...(media && { media }) },
        beside: 'relay',
      },
    ]
  }),

  {
    id: 'langfuse-child',
    title: 'Langfuse, export in a child',
    what: 'The same batches, as structured clones to a child process that encodes and posts them.',
    group: 'intervention',
    cases: ['rag', 'longctx'],
    settings: { ...langfuse, export: 'child' },
    swept: true,
  },
  {
    id: 'langfuse-gzip',
    title: 'Langfuse, gzip',
    what: "OpenTelemetry's exporter with compression: the SDK sends uncompressed as installed.",
    group: 'intervention',
    cases: ['rag'],
    settings: { ...langfuse, compression: 'gzip' },
  },
  ...[50, 1000].map(
    (ms): JsArm => ({
      id: `langfuse-latency-${ms}`,
      title: `Langfuse, server ${ms} ms`,
      what: `The server answers each batch after ${ms} ms; in the other arms at once.`,
      group: 'intervention',
      cases: ['rag'],
      settings: langfuse,
      sinkLatencyMs: ms,
    }),
  ),
  ...[10, 50].map(
    (flushAt): JsArm => ({
      id: `langfuse-flush-${flushAt}-latency-50`,
      title: `Langfuse, ${flushAt}, server 50 ms`,
      what: `flushAt: ${flushAt}, flushInterval: 30, and the server answers each batch after 50 ms.`,
      group: 'intervention',
      cases: ['rag', 'agent'],
      settings: { ...langfuse, flushAt, flushInterval: 30 },
      sinkLatencyMs: 50,
    }),
  ),

  {
    id: 'untraced-own-text',
    title: 'untraced, text of its own',
    what: 'The service without tracing builds the messages anew for the model.',
    group: 'baseline',
    cases: ['rag'],
    settings: { ownText: true },
  },
  ...(['langfuse', 'file', 'offpath'] as const).map(
    (tracer): JsArm => ({
      id: `${tracer}-own-text`,
      title: `${TITLES[tracer]}, text of its own`,
      what: 'The generation has strings of its own: nothing of it is known from the root.',
      group: tracer === 'langfuse' ? 'style' : 'elsewhere',
      cases: ['rag'],
      against: 'untraced-own-text',
      settings: { tracer, ownText: true },
      ...(tracer === 'offpath' && { beside: 'relay' }),
    }),
  ),

  {
    id: 'redis-lpush',
    title: 'Redis, one JSON a request',
    what: 'By hand: one JSON.stringify and one awaited LPUSH per request, a worker delivers.',
    group: 'elsewhere',
    cases: ['rag'],
    settings: { tracer: 'redis' },
    beside: 'redis-worker',
    swept: true,
  },
  {
    id: 'file',
    title: 'a file, one JSON a span',
    what: 'By hand: one JSON.stringify and one fs.writeSync per observation to a file in memory; nobody delivers it.',
    group: 'elsewhere',
    cases: ['rag'],
    settings: { tracer: 'file' },
    swept: true,
  },
  {
    id: 'offpath',
    title: 'Offpath',
    what: '@offpath/sdk as installed, a relay reads and delivers.',
    group: 'elsewhere',
    cases: MAIN,
    settings: offpath,
    beside: 'relay',
    swept: true,
    attributed: ['rag'],
  },
  {
    id: 'offpath-durable',
    title: "Offpath, durable: 'record'",
    what: 'A write for each record, in the place of one for each turn of the event loop.',
    group: 'elsewhere',
    cases: ['rag', 'agent'],
    settings: { ...offpath, durable: 'record' },
    beside: 'relay',
  },
  {
    id: 'offpath-no-relay',
    title: 'Offpath without a relay',
    what: 'Nobody reads the spool while requests run: it goes on to disk. Delivered afterwards.',
    group: 'elsewhere',
    cases: ['rag'],
    settings: offpath,
  },
  {
    id: 'offpath-observe',
    title: 'Offpath, observe',
    what: 'The same observations by functions wrapped with observe.',
    group: 'elsewhere',
    cases: ['rag', 'agent'],
    settings: { ...offpath, style: 'observe' },
    beside: 'relay',
  },
]
