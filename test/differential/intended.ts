import type { Difference } from './compare.ts'

/**
 * Where Offpath does not do what @langfuse/tracing and @langfuse/otel 5.11.1 do, and why. The one table:
 * docs/langfuse-compatibility.md lists its entries, and tests see to it that each place of each occurs.
 */
export interface IntendedDifference {
  id: string
  /** What is different, as the documentation says it. */
  what: string
  reason: string
  where: Where
}

/**
 * Program, or `*` for all → span, as compare.ts names it: '' for what was reported, `*` for all → field →
 * what Offpath has where Langfuse's SDK has something else, rendered as compare.ts does.
 */
type Where = Record<string, Record<string, Record<string, string | RegExp>>>

const input = 'attributes.langfuse.observation.input'
const output = 'attributes.langfuse.observation.output'
const metadata = 'attributes.langfuse.observation.metadata'
const level = 'attributes.langfuse.observation.level'
const statusMessage = 'attributes.langfuse.observation.status_message'
const appRoot = 'attributes.langfuse.internal.is_app_root'

const text = (value: string): string => JSON.stringify(value)
const json = (value: unknown): string => text(JSON.stringify(value))
const withInput = (value: string): Record<string, string> => ({ [input]: value })

export const intended: readonly IntendedDifference[] = [
  {
    id: 'resource',
    what: '`telemetry.sdk.name` and `telemetry.sdk.version` are Offpath’s; `host.name` and `process.pid` are there without an OpenTelemetry detector',
    reason: 'They name who recorded, and tell the processes of a service apart',
    where: {
      '*': {
        '*': {
          'resource.telemetry.sdk.name': text('@offpath/sdk'),
          'resource.telemetry.sdk.version': /^"\d+\.\d+\.\d+/,
          'resource.host.name': /^".+"$/,
          'resource.process.pid': /^int \d+$/,
        },
      },
    },
  },
  {
    id: 'getters',
    what: '`id`, `traceId`, `type` and `otelSpan` of an observation are getters: `Object.keys`, spread and `JSON.stringify` don’t see them',
    reason: 'An observation keeps its ids as numbers; their text is made when it is asked for',
    where: {
      'all attributes of each type': {
        '': Object.fromEntries(
          [
            ['span', 'LangfuseSpan  true'],
            ['generation', 'LangfuseGeneration  true'],
            ['embedding', 'LangfuseEmbedding  true'],
            ['event', 'LangfuseEvent  false'],
            ['agent', 'LangfuseAgent  true'],
            ['tool', 'LangfuseTool  true'],
            ['chain', 'LangfuseChain  true'],
            ['retriever', 'LangfuseRetriever  true'],
            ['evaluator', 'LangfuseEvaluator  true'],
            ['guardrail', 'LangfuseGuardrail  true'],
          ].map(([type, shape]) => [`shape of ${type}`, text(shape!)]),
        ),
      },
    },
  },
  {
    id: 'interrupted',
    what: 'An observation that its process never ended is delivered with all it had, as interrupted: level WARNING and a status message that says so',
    reason: 'Langfuse’s SDK loses every open observation with its process',
    where: {
      'never ended': {
        '"never ended"': {
          ...interruption(),
          [appRoot]: 'true',
          [input]: text('i'),
        },
        '"ended"': { parent: '"never ended"' },
      },
      'endOnExit false in observe': {
        '"left open"': {
          ...interruption(),
          [appRoot]: 'true',
          [input]: text('6'),
          [output]: text('7'),
        },
      },
    },
  },
  {
    id: 'values',
    what: 'BigInt, cycles, Map, Set, Error, RegExp, bytes, throwing getters and throwing `toJSON` are recorded as what they are (docs/values.md), in metadata too',
    reason:
      'Langfuse writes `{}` or `<failed to serialize>` in place of the whole value, and nothing where metadata is a Map, a Set or a Date',
    where: {
      'values that JSON has no word for': {
        '"bigint"': withInput(text('10')),
        '"bigint inside"': withInput(json({ n: '10', kept: 'x' })),
        '"circular"': withInput(json({ a: 1, self: '[Circular]' })),
        '"map"': withInput(json({ k: { v: 1 } })),
        '"set"': withInput(json([1, 'a'])),
        '"error"': withInput(
          json({
            name: 'TypeError',
            message: 'broke',
            stack: 'TypeError: broke',
            cause: { name: 'Error', message: 'why', stack: 'Error: why' },
          }),
        ),
        '"error inside"': withInput(
          json({ error: { name: 'Error', message: 'broke', stack: 'Error: broke' } }),
        ),
        '"regexp"': withInput(text('/a+/g')),
        '"bytes"': withInput(text('data:application/octet-stream;base64,AQID')),
        '"buffer"': withInput(text('data:application/octet-stream;base64,YWI=')),
        '"throwing getter"': withInput(json({ kept: 'x', bad: '[unreadable: no]' })),
        '"throwing toJSON"': withInput(text('[unreadable: no]')),
        '"map as metadata"': { [`${metadata}.k`]: text('v') },
        '"set as metadata"': { [metadata]: json(['a']) },
        '"date as metadata"': { [metadata]: json(new Date(0)) },
      },
      'metadata that is no object': { '"date"': { [metadata]: json(new Date(0)) } },
    },
  },
  {
    id: 'strings-of-objects',
    what: 'An object that stands for a string (its `toJSON` returns one, as URL’s does; a String object) is recorded as that string, without JSON’s quotes',
    reason: 'It is one; Langfuse’s SDK writes it as JSON because its type is not `string`',
    where: {
      'values as input and output': ofStrings([input, output]),
      'values in metadata and trace input and output': ofStrings([
        `${metadata}.value`,
        'attributes.langfuse.trace.input',
        'attributes.langfuse.trace.output',
      ]),
      'values by update': ofStrings([input, output, `${metadata}.value`]),
    },
  },
  {
    id: 'lone-surrogates',
    what: 'Half of a surrogate pair arrives as U+FFFD in a text by itself; inside JSON it is an escape',
    reason: 'Protobuf carries UTF-8, which has no code for it; Langfuse’s SDK sends JSON',
    where: {
      'values that JSON has no word for': {
        '"lone surrogate"': withInput(text('a\ufffdb')),
      },
    },
  },
  {
    id: 'empty-metadata',
    what: 'A metadata entry that is set to `""` is gone: the value it had before is not sent either, nor is one set through `otelSpan`',
    reason:
      'The later value counts; Langfuse’s SDK keeps the earlier one, because it leaves empty texts out',
    where: {
      'updates merge and override': { '"metadata of two kinds"': { [`${metadata}.a`]: 'absent' } },
      "Langfuse's attributes set one by one": {
        '"own attributes"': { [`${metadata}.empty`]: 'absent' },
      },
    },
  },
  {
    id: 'tags-unite',
    what: 'Tags that an observation gets one after the other (from scopes of `propagateAttributes` that begin and end while it is active, from `otelSpan.setAttribute`) unite',
    reason:
      'They are the trace’s, to which all of them were given; Langfuse’s SDK keeps the last ones only',
    where: {
      'tags one after the other': {
        '"two scopes"': { 'attributes.langfuse.trace.tags': '["a", "b"]' },
      },
      "Langfuse's attributes set one by one": {
        '"trace attributes"': { 'attributes.langfuse.trace.tags': '["a", "b", "c"]' },
      },
    },
  },
  {
    id: 'tracer-spans',
    what: 'A span of `getLangfuseTracer()` has the type span when it is given none',
    reason: 'It is recorded as an observation, and those have a type',
    where: {
      'spans of the tracer': Object.fromEntries(
        [
          '"without a type"',
          '"raw below"',
          '"raw root"',
          '"raw below an observation"',
          '"raw with propagated"',
        ].map((span) => [span, { 'attributes.langfuse.observation.type': text('span') }]),
      ),
    },
  },
  {
    id: 'generators',
    what: '`observe` follows a generator to its end: the output is what it yielded, an error is recorded, and its body runs in the observation’s context',
    reason:
      'Langfuse’s SDK ends the observation before the first step, with output `{}`, and loses the context',
    where: {
      generators: {
        '"generator"': { [output]: json([1, 2]) },
        '"generator left early"': { [output]: json([1]) },
        '"inside the generator"': inside('"generator"'),
      },
      'async generators': {
        '"async generator"': { [output]: text('ab') },
        '"inside the async generator"': inside('"async generator"'),
        '"failing async generator"': {
          [output]: text('a'),
          [level]: text('ERROR'),
          [statusMessage]: text('broke'),
        },
      },
    },
  },
  {
    id: 'thenables',
    what: '`observe` and `startActiveObservation` follow thenables and streams to their real end; `observe` records as output what they gave',
    reason:
      'Langfuse’s SDK ends the observation at once, with the object itself as output; a lazy query has not run by then',
    where: {
      'thenables and streams': {
        '"lazy query"': { [output]: text('rows') },
        '"web stream"': { [output]: text('ab') },
        '"node stream"': { [output]: text('ab') },
      },
    },
  },
  {
    id: 'no-throw',
    what: '`observe` with `asType: "event"`, `update(null)`, `propagateAttributes(null)` and tags that are no array do not throw; the event gets its output',
    reason: 'Tracing must not break the application',
    where: {
      'mistakes that must not reach the application': {
        '': {
          'observed event': '1',
          'observed async event': '1',
          'update(null)': 'true',
          'update(undefined)': 'true',
          'updateActiveObservation(null)': text('undefined'),
          'tags as text': text('called'),
          'propagateAttributes(null)': text('called'),
        },
        '"event"': { [output]: text('1') },
        '"async event"': { [output]: text('1') },
        '"active"': { 'status.code': '0', 'status.message': '""' },
      },
    },
  },
  {
    id: 'limits',
    what: 'An observation may have more than 128 attributes and 128 events',
    reason: 'OpenTelemetry drops the attributes that come later and the events that came first',
    where: {
      'many attributes and events': {
        '"200 metadata keys"': {
          droppedAttributes: '0',
          ...each(125, 200, (i) => ({ [`${metadata}.key ${i}`]: text(String(i)) })),
          [level]: text('ERROR'),
        },
        '"200 events"': {
          droppedEvents: '0',
          events: '200',
          ...each(0, 200, (i) => ({ [`events.${i}.name`]: `event ${i}` })),
          ...each(128, 200, (i) => ({
            [`events.${i}.time`]: '1700000000123000000',
            [`events.${i}.droppedAttributes`]: '0',
          })),
        },
      },
    },
  },
  {
    id: 'numbers',
    what: '`otelSpan.setAttribute`: NaN and ±Infinity arrive as such, whole numbers beyond 64 bits as doubles',
    reason:
      'OpenTelemetry’s JSON turns the former into nothing and the latter into an invalid int64',
    where: {
      'OpenTelemetry numbers that JSON cannot carry': {
        '"numbers"': {
          'attributes.NaN': 'double NaN',
          'attributes.Infinity': 'double Infinity',
          'attributes.beyond int64': 'double 1e+21',
        },
      },
    },
  },
  {
    id: 'media',
    what: 'A base64 data URI amid other text, or with fewer than 64 characters of base64, stays where it is',
    reason:
      'Langfuse’s SDK searches all text for them, on the request path; the relay looks for strings that are one, and a short one is no longer than its token',
    where: {
      'base64 data URIs': {
        '"in the text"': { [input]: text('see data:text/plain;base64,aGVsbG8= here') },
        '"in an object"': {
          [output]: json({ url: 'data:text/plain;base64,aGVsbG8=' }),
          [`${metadata}.url`]: text('data:text/plain;base64,aGVsbG8='),
        },
      },
    },
  },
  {
    id: 'sample-rate',
    what: '`LANGFUSE_SAMPLE_RATE` is followed',
    reason:
      'Langfuse documents it and its Python SDK follows it; its JavaScript SDK 5 does not read it',
    where: {
      'Langfuse variables that its JavaScript SDK does not read: sampling': {
        '"sampled out"': { exists: 'absent' },
      },
    },
  },
  {
    id: 'tracing-enabled',
    what: '`LANGFUSE_TRACING_ENABLED=false` switches tracing off',
    reason:
      'Langfuse documents it and its Python SDK follows it; its JavaScript SDK 5 does not read it',
    where: {
      'Langfuse variables that its JavaScript SDK does not read: switched off': {
        '"switched off"': { exists: 'absent' },
      },
    },
  },
]

function interruption(): Record<string, string> {
  return {
    exists: 'exported',
    parent: 'none',
    'status.code': '0',
    'status.message': '""',
    'attributes.langfuse.observation.type': text('span'),
    'attributes.offpath.interrupted': 'true',
    [`${metadata}.offpath_interrupted`]: text('true'),
    [level]: text('WARNING'),
    [statusMessage]: text('Interrupted: its process ended before it did'),
  }
}

function each(
  from: number,
  to: number,
  fields: (i: number) => Record<string, string>,
): Record<string, string> {
  const all = Array.from({ length: to - from }, (_, i) => fields(from + i))
  return Object.assign({}, ...all) as Record<string, string>
}

function inside(generator: string): Record<string, string> {
  return { trace: `the trace of ${generator}`, parent: generator, [appRoot]: 'absent' }
}

function ofStrings(fields: readonly string[]): Where[string] {
  const all = (value: string): Record<string, string> =>
    Object.fromEntries(fields.map((field) => [field, text(value)]))
  return { '"url"': all('http://example.com/a?b=c'), '"boxed string"': all('boxed') }
}

/** Which place of the table allows a difference; undefined when none does. */
export function placeOf(
  { program, span, field, offpath }: Difference,
  table: readonly IntendedDifference[] = intended,
): string | undefined {
  for (const { id, where } of table) {
    for (const programs of [program, '*']) {
      for (const spans of [span, '*']) {
        const expected = where[programs]?.[spans]?.[field]
        if (expected === undefined) continue
        if (typeof expected === 'string' ? expected === offpath : expected.test(offpath)) {
          return place(id, programs, spans, field)
        }
      }
    }
  }
  return undefined
}

/** All places of the table: each is to occur. */
export function places(table: readonly IntendedDifference[] = intended): string[] {
  return table.flatMap(({ id, where }) =>
    Object.entries(where).flatMap(([program, spans]) =>
      Object.entries(spans).flatMap(([span, fields]) =>
        Object.keys(fields).map((field) => place(id, program, span, field)),
      ),
    ),
  )
}

function place(id: string, program: string, span: string, field: string): string {
  return [id, program, span || 'reported', field].join(' > ')
}
