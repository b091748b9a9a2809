import type { Arm } from '../arms.ts'
import type { CaseName } from '../cases.ts'

// Settings are the keywords of settings.py. The interventions and the like run in one case that fits: RAG, where the SDK
// as installed is known to stall the loop, if the question is not another one.

const MAIN: readonly CaseName[] = ['chat', 'rag', 'longctx', 'vi', 'agent']
const TUNED_CASES: Readonly<Record<number, readonly CaseName[]>> = {
  10: MAIN,
  50: ['rag', 'longctx', 'agent'],
}

const langfuse = { tracer: 'langfuse' } as const
const offpath = { tracer: 'offpath' } as const

const AUDIO = {
  base64: 'a data URI in the message, as clients send it',
  bytes: 'LangfuseMedia(content_bytes=…)',
} as const

/** 100 a second with 200 tokens each would be more than a process can do with LangChain. */
const CHAINED = { perSecond: 20, seconds: 25 }

/** Each blocks the loop for as long as the server takes: 100 a second would be all of its time. */
const PROMPTED = { perSecond: 50, seconds: 20 }

/** What the study of Python compares. */
export const PYTHON_ARMS: readonly Arm[] = [
  {
    id: 'untraced',
    title: 'untraced',
    what: 'The service without any tracing.',
    group: 'baseline',
    cases: [...MAIN, 'audio', 'jobs'],
    settings: { tracer: 'untraced' },
    swept: true,
  },
  {
    id: 'langfuse-3',
    title: 'Langfuse 3',
    what: 'langfuse 3.15.0 as installed: 512 observations a batch, every 5 s; with them four spans of FastAPI itself a request.',
    group: 'installed',
    cases: ['chat', 'rag', 'longctx', 'agent'],
    settings: langfuse,
    environment: 'langfuse-3',
    attributed: ['longctx'],
  },
  {
    id: 'langfuse-4',
    title: 'Langfuse 4',
    what: 'langfuse 4.18.0 as installed.',
    group: 'installed',
    cases: ['rag'],
    settings: langfuse,
    environment: 'langfuse-4',
  },
  {
    id: 'langfuse-5',
    title: 'Langfuse 5',
    what: 'langfuse 5.0.4 as installed.',
    group: 'installed',
    cases: [...MAIN, 'jobs'],
    settings: langfuse,
    swept: true,
    attributed: ['rag', 'longctx', 'agent'],
  },
  {
    id: 'otel',
    title: 'OpenTelemetry to a collector',
    what: 'The bare OpenTelemetry SDK: BatchSpanProcessor, OTLP/protobuf over HTTP to an endpoint beside the service.',
    group: 'installed',
    cases: ['rag', 'longctx'],
    settings: { tracer: 'otel' },
  },

  {
    id: 'langfuse-3-flush-50',
    title: 'Langfuse 3, flush_at 50',
    what: 'Langfuse(flush_at=50, flush_interval=30) of langfuse 3.15.0.',
    group: 'tuned',
    cases: ['rag', 'longctx'],
    settings: { ...langfuse, flush_at: 50, flush_interval: 30 },
    environment: 'langfuse-3',
  },
  {
    id: 'langfuse-3-flush-50-env',
    title: 'Langfuse 3, variables 50',
    what: 'The same by LANGFUSE_FLUSH_AT=50 and LANGFUSE_FLUSH_INTERVAL=30.',
    group: 'tuned',
    cases: ['rag'],
    settings: {
      ...langfuse,
      variables: { LANGFUSE_FLUSH_AT: '50', LANGFUSE_FLUSH_INTERVAL: '30' },
    },
    environment: 'langfuse-3',
  },
  ...[10, 50, 512].map(
    (flushAt): Arm => ({
      id: `langfuse-5-flush-${flushAt}`,
      title: `Langfuse 5, flush_at ${flushAt}`,
      what: `Langfuse(flush_at=${flushAt}, flush_interval=30).`,
      group: 'tuned',
      cases: TUNED_CASES[flushAt] ?? ['rag'],
      settings: { ...langfuse, flush_at: flushAt, flush_interval: 30 },
    }),
  ),
  {
    id: 'langfuse-5-tuned',
    title: 'Langfuse 5, 50 and gzip off',
    what: "Langfuse(flush_at=50, otel_compression='none'): what an expert sets where the server is near.",
    group: 'tuned',
    cases: MAIN,
    settings: { ...langfuse, flush_at: 50, otel_compression: 'none' },
  },
  {
    id: 'langfuse-5-sample',
    title: 'Langfuse 5, 1 trace in 10',
    what: 'Langfuse(sample_rate=0.1).',
    group: 'tuned',
    cases: ['rag'],
    settings: { ...langfuse, sample_rate: 0.1 },
  },
  {
    id: 'langfuse-5-flush-each',
    title: 'Langfuse 5, flush each request',
    what: 'flush() in a middleware, before each answer leaves: it blocks the event loop.',
    group: 'tuned',
    cases: ['chat'],
    settings: { ...langfuse, flush_each_request: true },
    attributed: ['chat'],
  },
  {
    id: 'untraced-uvloop',
    title: 'untraced, uvloop',
    what: 'The service without tracing, its event loop by uvloop.',
    group: 'baseline',
    cases: ['rag'],
    settings: { tracer: 'untraced', loop: 'uvloop' },
  },
  {
    id: 'langfuse-5-uvloop',
    title: 'Langfuse 5, uvloop',
    what: 'langfuse as installed, the event loop by uvloop.',
    group: 'tuned',
    cases: ['rag'],
    against: 'untraced-uvloop',
    settings: { ...langfuse, loop: 'uvloop' },
  },
  ...[2, 4].flatMap((workers): Arm[] => [
    {
      id: `untraced-workers-${workers}`,
      title: `untraced, ${workers} workers`,
      what: `The service without tracing in ${workers} processes on one port.`,
      group: 'baseline',
      cases: ['rag'],
      settings: { tracer: 'untraced' },
      workers,
    },
    {
      id: `langfuse-5-workers-${workers}`,
      title: `Langfuse 5, ${workers} workers`,
      what: `langfuse as installed in each of ${workers} processes on one port.`,
      group: 'tuned',
      cases: ['rag'],
      against: `untraced-workers-${workers}`,
      settings: langfuse,
      workers,
    },
  ]),

  {
    id: 'langfuse-5-observe',
    title: 'Langfuse 5, observe',
    what: 'The same observations by functions decorated with observe, in the place of context managers.',
    group: 'style',
    cases: ['rag', 'agent'],
    settings: { ...langfuse, style: 'observe' },
  },
  {
    id: 'langfuse-5-few',
    title: 'Langfuse 5, 2 observations',
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
    settings: { tracer: 'untraced', attached: 'langchain' },
    load: CHAINED,
  },
  {
    id: 'langfuse-5-langchain',
    title: 'Langfuse 5, LangChain handler',
    what: "The same with langfuse.langchain.CallbackHandler, which is called for each token, in threads of the loop's executor.",
    group: 'integration',
    cases: ['chat'],
    against: 'untraced-langchain',
    settings: { ...langfuse, attached: 'langchain' },
    load: CHAINED,
  },
  {
    id: 'untraced-logs',
    title: 'untraced, 20 log lines',
    what: '20 log lines a request, formatted and dropped.',
    group: 'baseline',
    cases: ['chat'],
    settings: { tracer: 'untraced', attached: 'logs' },
  },
  {
    id: 'langfuse-5-logs',
    title: 'Langfuse 5, log handler',
    what: 'A log handler turns each of 20 lines a request into an update_current_span.',
    group: 'integration',
    cases: ['chat'],
    against: 'untraced-logs',
    settings: { ...langfuse, attached: 'logs' },
  },
  {
    id: 'untraced-prompt',
    title: 'untraced, 50 a second',
    what: 'The service without tracing or prompts, at the rate of the arm that asks for a prompt.',
    group: 'baseline',
    cases: ['chat'],
    settings: { tracer: 'untraced' },
    load: PROMPTED,
  },
  {
    id: 'langfuse-5-prompt',
    title: 'Langfuse 5, prompt not cached',
    what: 'get_prompt(…, cache_ttl_seconds=0) in each request: HTTP that blocks the event loop. The server answers after 5 ms.',
    group: 'integration',
    cases: ['chat'],
    settings: { ...langfuse, attached: 'prompt' },
    against: 'untraced-prompt',
    load: PROMPTED,
    sinkLatencyMs: 5,
  },
  ...(['base64', 'bytes'] as const).flatMap((media): Arm[] => [
    {
      id: `langfuse-5-audio-${media}`,
      title: `Langfuse 5, audio as ${media}`,
      what: `1.5 MB of WAV as ${AUDIO[media]}.`,
      group: 'integration',
      cases: ['audio'],
      settings: { ...langfuse, media },
    },
    {
      id: `offpath-audio-${media}`,
      title: `Offpath, audio as ${media}`,
      what: `1.5 MB of WAV as ${AUDIO[media]}.`,
      group: 'elsewhere',
      cases: ['audio'],
      settings: { ...offpath, media },
      beside: 'relay',
    },
  ]),

  ...[0.1, 1, 50].map(
    (ms): Arm => ({
      id: `langfuse-5-switch-${String(ms).replace('.', '-')}`,
      title: `Langfuse 5, switch at ${ms} ms`,
      what: `sys.setswitchinterval(${ms / 1000}): after so long a thread is asked for the GIL. Python's own is 5 ms.`,
      group: 'intervention',
      cases: ['rag'],
      settings: { ...langfuse, switch_interval_ms: ms },
    }),
  ),
  {
    id: 'langfuse-5-gc-freeze',
    title: 'Langfuse 5, gc.freeze()',
    what: 'gc.collect() and gc.freeze() when all is imported: full collections leave alone what was there before.',
    group: 'intervention',
    cases: ['rag'],
    settings: { ...langfuse, gc_freeze: true },
  },
  {
    id: 'langfuse-5-child',
    title: 'Langfuse 5, export in a child',
    what: 'The same batches, pickled to a child process that encodes and posts them.',
    group: 'intervention',
    cases: ['rag', 'longctx'],
    settings: { ...langfuse, export: 'child' },
  },
  {
    id: 'langfuse-5-no-gzip',
    title: 'Langfuse 5, gzip off',
    what: "Langfuse(otel_compression='none'); version 5 compresses each batch as installed, 3 and 4 do not.",
    group: 'intervention',
    cases: ['rag'],
    settings: { ...langfuse, otel_compression: 'none' },
  },
  ...[50, 1000].map(
    (ms): Arm => ({
      id: `langfuse-5-latency-${ms}`,
      title: `Langfuse 5, server ${ms} ms`,
      what: `The server answers each batch after ${ms} ms; in the other arms at once.`,
      group: 'intervention',
      cases: ['rag'],
      settings: langfuse,
      sinkLatencyMs: ms,
    }),
  ),

  {
    id: 'redis-lpush',
    title: 'Redis, one JSON a request',
    what: 'By hand: one json.dumps and one LPUSH per request, a worker delivers.',
    group: 'elsewhere',
    cases: ['rag'],
    settings: { tracer: 'redis' },
    beside: 'redis-worker',
  },
  {
    id: 'file',
    title: 'a file, one JSON a span',
    what: 'By hand: one json.dumps and one os.write per observation to a file in memory; nobody delivers it.',
    group: 'elsewhere',
    cases: ['rag'],
    settings: { tracer: 'file' },
  },
  {
    id: 'offpath',
    title: 'Offpath',
    what: 'The Python client as installed, a relay reads and delivers.',
    group: 'elsewhere',
    cases: [...MAIN, 'jobs'],
    settings: offpath,
    beside: 'relay',
    swept: true,
    attributed: ['rag'],
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
    what: 'The same observations by functions decorated with observe.',
    group: 'elsewhere',
    cases: ['rag', 'agent'],
    settings: { ...offpath, style: 'observe' },
    beside: 'relay',
  },
  {
    id: 'offpath-threads',
    title: 'Offpath, threads with context',
    what: 'The jobs in an offpath.ContextThreadPoolExecutor: they stay in the trace of their request.',
    group: 'elsewhere',
    cases: ['jobs'],
    settings: { ...offpath, executor: 'context' },
    beside: 'relay',
  },
]
