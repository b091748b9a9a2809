// The numbers of docs/spool-format.md, version 1. Everything is little-endian and 4-byte aligned.

export const VERSION = 1

/** "OFFPATH1" */
export const SEGMENT_MAGIC: readonly number[] = [0x4f, 0x46, 0x46, 0x50, 0x41, 0x54, 0x48, 0x31]

/** Offsets in the segment header. The JSON starts at `json`; the first frame at the header length. */
export const HEADER = {
  magic: 0,
  version: 8,
  length: 12,
  nonce: 16,
  jsonLength: 24,
  crc: 28,
  loss: 32,
  json: 128,
} as const
export const MAX_HEADER_BYTES = 65_536

/** "OPF1" read as a little-endian word. */
export const FRAME_MAGIC = 0x3146_504f

/** Offsets in a frame; the payload follows the head, the footer repeats the payload's length. */
export const FRAME = {
  magic: 0,
  nonce: 4,
  length: 12,
  sequence: 16,
  kind: 20,
  flags: 21,
  started: 24,
  lost: 32,
  crc: 40,
  payload: 44,
} as const
export const FRAME_FOOTER_BYTES = 4
export const MAX_FRAME_PAYLOAD: number = 64 * 1024 * 1024

export const FRAME_KIND = { records: 1, json: 2, blob: 3, end: 4 } as const
/** Frame flag: the CRC field holds the CRC-32 of head bytes 0–39 followed by the payload. */
export const FRAME_HAS_CRC = 1

/** First word of a record: the type in the low 8 bits, its length in words (this one included) above. */
export const RECORD = {
  start: 1,
  update: 2,
  end: 3,
  event: 4,
  context: 5,
  define: 6,
  vitals: 7,
  loss: 8,
  lostEnds: 9,
} as const

/** Words of a start or event record before its name and fields. */
export const START_WORDS = 15

/** Fourth word of a start record: observation type | span kind << 8 | flags << 16. */
export const START_FLAG = { remoteParent: 1, appRoot: 2, asRoot: 4 } as const

export const OBSERVATION_TYPES = [
  'span',
  'generation',
  'event',
  'embedding',
  'agent',
  'tool',
  'chain',
  'retriever',
  'evaluator',
  'guardrail',
] as const
export type ObservationType = (typeof OBSERVATION_TYPES)[number]

/** A field is one word with this number, then its value; `attribute` has a key value before it. */
export const FIELD = {
  name: 1,
  type: 2,
  input: 3,
  output: 4,
  metadata: 5,
  level: 6,
  statusMessage: 7,
  version: 8,
  environment: 9,
  completionStartTime: 10,
  model: 11,
  modelParameters: 12,
  usageDetails: 13,
  costDetails: 14,
  promptName: 15,
  promptVersion: 16,
  traceName: 20,
  userId: 21,
  sessionId: 22,
  tags: 23,
  traceMetadata: 24,
  tracePublic: 25,
  traceInput: 26,
  traceOutput: 27,
  statusCode: 30,
  statusDescription: 31,
  event: 32,
  link: 33,
  project: 34,
  scope: 35,
  traceState: 36,
  attribute: 63,
} as const

/** First word of a value: the tag in the low 8 bits, `info` (a length or a count) in the upper 24. */
export const TAG = {
  undefined: 0,
  null: 1,
  true: 2,
  false: 3,
  int: 4,
  double: 5,
  bigint: 6,
  utf8: 7,
  utf16: 8,
  name: 9,
  nameDefinition: 10,
  numberedUtf8: 11,
  numberedUtf16: 12,
  stringReference: 13,
  textBlob: 14,
  bytes: 15,
  bytesBlob: 16,
  array: 17,
  object: 18,
  date: 19,
} as const
export const MAX_INFO = 0xff_ffff

export const BLOB_ENCODING = { bytes: 0, utf8: 1, utf16: 2 } as const
export const BLOB_LAST = 1

/** Slots of the loss block and of loss records: observations lost by a writer, by reason, since it began. */
export const LOSS_REASONS = [
  'spool_full',
  'slow_disk',
  'write_failed',
  'segment_removed',
  'no_spool',
  'too_large',
  'invalid',
] as const
export type LossReason = (typeof LOSS_REASONS)[number]
export const LOSS_SLOTS = 12

/** A count for each reason, all zero. */
export function noLosses(): Record<LossReason, number> {
  return Object.fromEntries(LOSS_REASONS.map((reason) => [reason, 0])) as Record<LossReason, number>
}
