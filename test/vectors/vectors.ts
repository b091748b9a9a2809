// The golden vectors: what their segments hold, written by the plain writer. `node test/vectors/generate.ts` writes the
// files anew; vectors.test.ts compares what the relay reads in them with the JSON beside them.
import {
  encodeSegment,
  name,
  nameDefinition,
  numbered,
  numberedUtf16,
  type PlainField,
  type PlainFrame,
  type PlainRecord,
  type PlainSegment,
  type PlainStart,
  rawWords,
  reference,
  textBlob,
  utf16,
} from '../../packages/relay/src/testing/plain-writer.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const TIME = 1_764_000_000_123_456_789n
const INPUT = 3
const OUTPUT = 4
const METADATA = 5
const LONG = 'Xin chào "bạn" \\ tab\t'.repeat(40)

const start = (serial: number, fields: readonly PlainField[]): PlainStart => ({
  type: 'start',
  serial,
  traceId: TRACE,
  spanId: serial.toString(16).padStart(16, '0'),
  ...(serial > 1 && { parentSpanId: '0000000000000001' }),
  time: TIME + BigInt(serial),
  name: `observation ${serial}`,
  fields,
})
const end = (serial: number): PlainRecord => ({ type: 'end', serial, time: TIME + 1_000_000n })
const records = (...list: PlainRecord[]): PlainFrame => ({ records: list })
// The same bytes whoever writes them: a writer of another machine, long silent.
const FIXED = { header: { pid: 4242 }, nonce: Buffer.from('a1b2c3d4e5f60718', 'hex') }
const segment = (...frames: PlainFrame[]): PlainSegment => ({ ...FIXED, frames })

const values: PlainSegment = segment(
  records(
    start(1, [
      [INPUT, 'text'],
      [
        OUTPUT,
        { a: 1, b: -0, c: 1.5, d: null, e: undefined, f: true, g: [undefined, 'x', 10n ** 20n] },
      ],
      [METADATA, { text: 'raw', number: 7, flag: false, deep: { list: [1, 2] } }],
    ]),
    end(1),
    start(2, [
      [INPUT, utf16('Tiếng Việt')],
      [OUTPUT, new Date(1_764_000_000_123)],
    ]),
    end(2),
  ),
  { end: true },
)

const references: PlainSegment = segment(
  records(
    start(1, [[INPUT, [numbered(1, LONG)]]]),
    start(2, [
      [INPUT, { content: reference(1) }],
      [OUTPUT, numberedUtf16(2, LONG)],
    ]),
    end(2),
    start(3, [
      [INPUT, reference(2)],
      [OUTPUT, nameDefinition(1, 'a name')],
      [METADATA, { n: name(1) }],
    ]),
    end(3),
    end(1),
  ),
  { end: true },
)

const contexts: PlainSegment = segment(
  records(
    {
      type: 'context',
      number: 1,
      fields: [
        [21, 'user-1'],
        [22, 'session-1'],
        [23, ['a', 'b']],
        [24, { tenant: 'x' }],
      ],
    },
    { ...start(1, []), context: 1 },
    {
      type: 'update',
      serial: 1,
      fields: [
        [23, ['b', 'c']],
        [24, { tier: 'gold' }],
      ],
    },
    end(1),
  ),
  { end: true },
)

const blobs: PlainSegment = segment(
  records(
    start(1, [
      [INPUT, { text: textBlob(1) }],
      [OUTPUT, textBlob(1)],
    ]),
    end(1),
  ),
  { blob: { id: 1, encoding: 'utf8', offset: 0, content: 'first "half", ' } },
  { blob: { id: 1, encoding: 'utf8', offset: 14, content: 'second half', last: true } },
  { end: true },
)

const json: PlainSegment = segment(
  {
    started: 1,
    json: [
      {
        record: 'start',
        trace_id: TRACE,
        span_id: '00000000000000b1',
        name: 'from python',
        type: 'generation',
        start_time: String(TIME),
        input: [{ role: 'user', content: { '$offpath:string': 1 } }],
        model: 'qwen3',
        metadata: { a: 'x', b: { c: 1 } },
      },
      { record: 'update', span_id: '00000000000000b1', output: { '$offpath:string': 1 } },
      { record: 'end', span_id: '00000000000000b1', end_time: String(TIME + 5n) },
    ],
    parts: [{ number: 1, text: LONG }],
  },
  { end: true },
)

const scores: PlainSegment = segment(
  {
    json: [
      {
        record: 'score',
        id: 'score-1',
        trace_id: TRACE,
        observation_id: '00000000000000b1',
        name: 'quality',
        value: 0.75,
        timestamp: String(TIME),
        data_type: 'NUMERIC',
        comment: 'Tiếng Việt',
        metadata: { judge: 'qwen3', '$offpath:string': 1 },
        environment: 'prod',
        project: 'search',
      },
      {
        record: 'score',
        id: 'score-2',
        session_id: 'session-1',
        name: 'mood',
        value: 'good',
        timestamp: String(TIME),
        config_id: 'config-1',
        comment: 5,
      },
      {
        record: 'score',
        id: 'score-3',
        trace_id: TRACE,
        name: 'no value',
        timestamp: String(TIME),
      },
      { record: 'loss', totals: {}, scores: { spool_full: 2 } },
    ],
  },
  { end: true },
)

const unknownRecord: PlainSegment = segment(
  records(
    start(1, []),
    { type: 'raw', bytes: rawWords((200 | (3 << 8)) >>> 0, 1, 2).bytes },
    end(1),
  ),
  { end: true },
)

/** Two good frames around one of which a byte is wrong; on disk, so with a CRC. */
function flipped(): Buffer {
  const frames = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      records(start(i + 1, [[INPUT, 'x'.repeat(64)]]), end(i + 1)),
    )
  const bytes = encodeSegment({ ...FIXED, crc: true, frames: [...frames(3), { end: true }] })
  const middle = bytes.indexOf('observation 2') + 4
  bytes[middle] = (bytes[middle] as number) ^ 0x20
  return bytes
}

/** The last frame stops half-way, as a SIGKILL or a full disk leaves it. */
function torn(): Buffer {
  const bytes = encodeSegment(segment(records(start(1, []), end(1)), records(start(2, []), end(2))))
  return bytes.subarray(0, bytes.length - 24)
}

/** Name → bytes of the segment. */
export const VECTORS: Readonly<Record<string, Buffer>> = {
  values: encodeSegment(values),
  references: encodeSegment(references),
  contexts: encodeSegment(contexts),
  blobs: encodeSegment(blobs),
  'json-records': encodeSegment(json),
  scores: encodeSegment(scores),
  'unknown-record': encodeSegment(unknownRecord),
  'flipped-byte': flipped(),
  'torn-tail': torn(),
}
