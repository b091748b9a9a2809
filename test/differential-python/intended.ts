import type { IntendedDifference } from '../differential/intended.ts'
import type { Version } from './run.ts'

/** Where the Python client does not do what Langfuse's Python SDK does, in which of its versions, and why. */
interface PythonDifference extends IntendedDifference {
  readonly versions: readonly Version[]
}

const ALL = [3, 4, 5] as const

const WALKS = Array.from({ length: 12 }, (_, index) => index + 1)

const input = 'attributes.langfuse.observation.input'
const output = 'attributes.langfuse.observation.output'
const metadata = 'attributes.langfuse.observation.metadata'
const level = 'attributes.langfuse.observation.level'
const statusMessage = 'attributes.langfuse.observation.status_message'
const type = 'attributes.langfuse.observation.type'
const appRoot = 'attributes.langfuse.internal.is_app_root'

const text = (value: string): string => JSON.stringify(value)
const json = (value: unknown): string => text(JSON.stringify(value))

type Where = IntendedDifference['where']

/** Values by name, as the programs of values.py record them: what Offpath has of each. */
function values(byName: Record<string, unknown>): Where {
  const spans = (fields: (value: unknown) => Record<string, string>): Where[string] =>
    Object.fromEntries(Object.entries(byName).map(([name, value]) => [text(name), fields(value)]))
  const alone = (value: unknown): string => (typeof value === 'string' ? text(value) : json(value))
  return {
    'values as input and output': spans((value) => ({
      [input]: alone(value),
      [output]: json({ value }),
    })),
    'values in metadata': spans((value) => ({
      [`${metadata}.value`]: alone(value),
      [`${metadata}.list`]: json([value]),
    })),
  }
}

/** The same in programs of walks.py: all of them, or those with these seeds. */
function walks(spans: Where[string], seeds: readonly number[] = WALKS): Where {
  return Object.fromEntries(seeds.map((seed) => [`random walk ${seed}`, spans]))
}

function nested(depth: number): unknown {
  return depth === 0 ? 'bottom' : { in: nested(depth - 1) }
}

export const intended: readonly PythonDifference[] = [
  {
    id: 'resource',
    what: '`telemetry.sdk.name` and `.version` are Offpath’s, `host.name` and `process.pid` are there, `service.instance.id` is not; `langfuse.environment` and `langfuse.release` stand on each observation',
    reason:
      'They name who recorded, and tell the processes of a service apart; Langfuse reads both places',
    versions: ALL,
    where: {
      '*': {
        '*': {
          'resource.telemetry.sdk.name': text('offpath'),
          'resource.telemetry.sdk.version': /^"\d+\.\d+\.\d+/,
          'resource.host.name': /^".+"$/,
          'resource.process.pid': /^int \d+$/,
          'resource.service.instance.id': 'absent',
        },
      },
      "the environment's settings": {
        '"one"': {
          'resource.langfuse.environment': 'absent',
          'resource.langfuse.release': 'absent',
          'attributes.langfuse.release': text('r1'),
        },
      },
      'a mask': { '*': { 'resource.langfuse.environment': 'absent' } },
    },
  },
  {
    id: 'dialect',
    what: 'Scope `langfuse-sdk` 5.11.1 without the attribute `public_key`; the relay’s headers (docs/langfuse-compatibility.md)',
    reason:
      'The relay delivers in one dialect, that of Langfuse’s JavaScript SDK 5, whatever the language',
    versions: ALL,
    where: { '*': { '*': { 'scope.version': '5.11.1', 'scope.public_key': 'absent' } } },
  },
  {
    id: 'app-root',
    what: 'The first observation of a trace in the process bears `langfuse.internal.is_app_root`',
    reason: 'Langfuse 5 writes it; 3 and 4 do not',
    versions: [3, 4],
    where: { '*': { '*': { [appRoot]: 'true' } } },
  },
  {
    id: 'interrupted',
    what: 'An observation that its process never ended is delivered with all it had, as interrupted: level WARNING and a status message that says so',
    reason: 'Langfuse’s SDK loses every open observation with its process',
    versions: ALL,
    where: {
      'never ended': {
        '"open"': {
          exists: 'exported',
          parent: 'none',
          'status.code': '0',
          'status.message': '""',
          [type]: text('span'),
          [input]: text('i'),
          [appRoot]: 'true',
          'attributes.offpath.interrupted': 'true',
          [`${metadata}.offpath_interrupted`]: text('true'),
          [level]: text('WARNING'),
          [statusMessage]: text('Interrupted: its process ended before it did'),
        },
        '"ended"': { parent: '"open"' },
      },
    },
  },
  {
    id: 'events',
    what: 'An event of `start_observation(as_type="event")` is complete at once',
    reason:
      'It is a point in time; Langfuse’s SDK sends it only when it is ended, and loses it otherwise',
    versions: ALL,
    where: {
      'all types of observations': {
        '"event"': {
          exists: 'exported',
          parent: 'none',
          'status.code': '0',
          'status.message': '""',
          [type]: text('event'),
          [input]: text('in'),
          [output]: text('out'),
          [appRoot]: 'true',
        },
      },
    },
  },
  {
    id: 'values',
    what: 'Pure paths, times, functions, classes, byte arrays, memory views, bytes that are no text, cycles, and objects whose attributes raise are recorded as what they are',
    reason:
      'Langfuse’s SDK writes `{}`, a list of numbers, a marker or an object repeated 20 times',
    versions: ALL,
    where: values({
      path: '/a/b',
      time: '01:02:03',
      'memory view': 'abc',
      bytearray: 'abc',
      function: '<function>',
      class: '<type>',
      queue: '<type>',
      'bytes that are no text': 'data:application/octet-stream;base64,//4=',
      cycle: { a: 1, self: '[Circular]' },
      'cycle of objects': { a: 1, b: '[Circular]' },
      'raising attribute': '<unreadable: ValueError: no>',
    }),
  },
  {
    id: 'depth',
    what: 'Values are kept to a depth of 64',
    reason: 'Langfuse’s SDK cuts at 20',
    versions: ALL,
    where: values({ 'nested 30 deep': nested(30) }),
  },
  {
    id: 'values-3',
    what: 'Negative infinity, and not-a-number and secrets in pydantic objects, are written as by Langfuse 5',
    reason: 'Langfuse 3 writes `Infinity`, a bare `NaN`, which is no JSON, and `{}`',
    versions: [3],
    where: values({
      infinities: ['Infinity', '-Infinity'],
      pydantic: {
        name: 'n',
        when: '2023-11-14T22:13:20.123456Z',
        nested: [{ x: 1, y: 2.5, label: 'a' }],
        ratio: 'NaN',
        by_alias: 5,
      },
      'pydantic with a secret': { key: '<secret>' },
      'secret alone': '<secret>',
    }),
  },
  {
    id: 'types-3',
    what: 'An observation keeps its type when it is updated as the active one',
    reason: 'Langfuse 3 turns it into a span',
    versions: [3],
    where: {
      'decorators from context managers': { '"decorated"': { [type]: text('tool') } },
      ...walks({ '*': { [type]: /^"(?!span)[a-z]+"$/ } }),
    },
  },
  {
    id: 'cancelled-3',
    what: 'An observed coroutine that is cancelled has level ERROR and a status message',
    reason: 'As with Langfuse 4 and 5',
    versions: [3],
    where: {
      'errors of observed coroutines': {
        '"cancelled"': {
          'status.code': '2',
          'status.message': text('CancelledError'),
          [level]: text('ERROR'),
          [statusMessage]: text('CancelledError'),
        },
      },
    },
  },
  {
    id: 'propagated-metadata-3',
    what: 'Propagated metadata need not be text',
    reason: 'As with Langfuse 4 and 5; 3 drops it',
    versions: [3],
    where: {
      'propagated values that are refused': {
        '"no strings"': { 'attributes.langfuse.trace.metadata.n': text('5') },
      },
    },
  },
  {
    id: 'tags-unite',
    what: 'Tags of scopes of `propagate_attributes` that begin and end while an observation is active unite on it',
    reason:
      'They are the trace’s, to which all of them were given; Langfuse’s SDK keeps the last ones only',
    versions: ALL,
    where: walks({ '*': { 'attributes.langfuse.trace.tags': /^\[("[abc]"(, )?)+\]$/ } }, [8, 10]),
  },
  {
    id: 'lone-surrogates',
    what: 'Half of a surrogate pair arrives as U+FFFD in a text by itself; inside JSON it is an escape',
    reason: 'Protobuf carries UTF-8, which has no code for it; Langfuse’s SDK drops the attribute',
    versions: ALL,
    where: {
      'values as input and output': { '"lone surrogate"': { [input]: text('a\ufffdb') } },
      'values in metadata': { '"lone surrogate"': { [`${metadata}.value`]: text('a\ufffdb') } },
    },
  },
  {
    id: 'lone-surrogates-in-metadata',
    what: 'Metadata that has one somewhere inside arrives',
    reason: 'Langfuse 5 writes metadata without escapes and drops the attribute',
    versions: [5],
    where: {
      'values in metadata': {
        '"lone surrogate"': { [`${metadata}.list`]: json(['a\ud800b']) },
        '"lone surrogate inside"': {
          [`${metadata}.value`]: json({ t: 'a\ud800b' }),
          [`${metadata}.list`]: json([{ t: 'a\ud800b' }]),
        },
      },
    },
  },
  {
    id: 'huge-integers',
    what: 'An integer of more than 64 bits in metadata arrives, as text',
    reason: 'Langfuse 3 and 4 drop it',
    versions: [3, 4],
    where: {
      'values in metadata': {
        '"huge integer"': { [`${metadata}.value`]: text(`1${'0'.repeat(40)}`) },
      },
    },
  },
  {
    id: 'empty-metadata',
    what: 'A metadata entry of `""` is left out',
    reason: 'The relay’s dialect; Langfuse shows no difference',
    versions: ALL,
    where: {
      'values in metadata': { '"empty text"': { [`${metadata}.value`]: 'absent' } },
      updates: { '"falsy"': { [`${metadata}.empty`]: 'absent' } },
    },
  },
  {
    id: 'metadata-objects',
    what: 'Metadata that is a dataclass or a pydantic object arrives as one attribute a field',
    reason: 'As a dict does; Langfuse’s SDK sends one JSON object, which the server reads alike',
    versions: ALL,
    where: {
      'metadata that is no object': {
        '"dataclass"': {
          [metadata]: 'absent',
          [`${metadata}.x`]: text('1'),
          [`${metadata}.y`]: text('2.5'),
          [`${metadata}.label`]: text('a'),
        },
        '"pydantic"': {
          [metadata]: 'absent',
          [`${metadata}.name`]: text('n'),
          [`${metadata}.when`]: text('2023-11-14T22:13:20.123456Z'),
          [`${metadata}.nested`]: json([{ x: 1, y: 2.5, label: 'a' }]),
          [`${metadata}.ratio`]: text('NaN'),
          [`${metadata}.by_alias`]: text('5'),
        },
      },
    },
  },
  {
    id: 'became-a-generation',
    what: 'An observation on which `update_current_generation` was called stays a generation',
    reason: 'Langfuse’s SDK turns it back when the observation itself is updated next',
    versions: ALL,
    where: { 'observed functions': { '"becomes_a_generation"': { [type]: text('generation') } } },
  },
]
