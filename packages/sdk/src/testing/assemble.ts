import { OBSERVATION_TYPES, type ObservationType } from '../spool/format.ts'
import {
  type EndOf,
  type Field,
  type Frame,
  joinBlobs,
  newTables,
  readRecords,
  type Segment,
  type SpoolRecord,
  type StartRecord,
  type Tables,
  type Value,
} from './decode.ts'

/** An observation as it was recorded; what was not given is undefined, null (parent) or empty (objects, arrays). */
export interface CollectedObservation {
  /** 32 hex digits. */
  readonly traceId: string
  /** 16 hex digits. */
  readonly spanId: string
  readonly parentSpanId: string | null
  readonly name: string
  readonly type: ObservationType
  readonly startTime: Date
  /** Undefined while the observation is open. */
  readonly endTime: Date | undefined
  readonly durationMs: number | undefined
  readonly finished: boolean
  readonly input: unknown
  readonly output: unknown
  readonly metadata: unknown
  readonly level: string | undefined
  readonly statusMessage: string | undefined
  readonly version: string | undefined
  readonly environment: string | undefined
  readonly model: string | undefined
  readonly modelParameters: Readonly<Record<string, unknown>> | undefined
  readonly usageDetails: Readonly<Record<string, number>> | undefined
  readonly costDetails: Readonly<Record<string, number>> | undefined
  readonly completionStartTime: Date | undefined
  readonly prompt: { readonly name: string; readonly version: number | undefined } | undefined
  /** OpenTelemetry's status. */
  readonly status: { readonly code: 'unset' | 'ok' | 'error'; readonly message: string | undefined }
  readonly project: string | undefined
  /** What the observation says of its trace. */
  readonly trace: {
    readonly name: string | undefined
    readonly userId: string | undefined
    readonly sessionId: string | undefined
    readonly tags: readonly string[]
    readonly metadata: Readonly<Record<string, unknown>>
    readonly public: boolean | undefined
    readonly input: unknown
    readonly output: unknown
  }
  /** Attributes set through OpenTelemetry's names. */
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: readonly {
    readonly name: string
    readonly time: Date
    readonly attributes: Readonly<Record<string, unknown>>
  }[]
  readonly links: readonly {
    readonly traceId: string
    readonly spanId: string
    readonly attributes: Readonly<Record<string, unknown>>
  }[]
}

interface Building {
  readonly start: StartRecord
  readonly fields: Field[]
  end: bigint | undefined
}

/** The observations of one writer, from its records in their order. */
export interface Assembly {
  readonly observations: Map<number, Building>
}

export function newAssembly(): Assembly {
  return { observations: new Map() }
}

export function addRecord(assembly: Assembly, record: SpoolRecord): void {
  const { observations } = assembly
  switch (record.type) {
    case 'start':
    case 'event':
      observations.set(record.serial, {
        start: record,
        // Those of the context first: the observation's own replace them.
        fields: [...record.context, ...record.fields],
        end: record.type === 'event' ? record.time : undefined,
      })
      break
    case 'update':
      observations.get(record.serial)?.fields.push(...record.fields)
      break
    case 'end':
      observations.get(record.serial)?.fields.push(...record.fields)
      end(assembly, record)
      break
    case 'lostEnds':
      for (const lost of record.ends) end(assembly, lost)
      break
  }
}

function end(assembly: Assembly, { serial, time }: EndOf): void {
  const observation = assembly.observations.get(serial)
  if (observation !== undefined) observation.end ??= time
}

/** All observations in the order of their starts. */
export function collected(assembly: Assembly): CollectedObservation[] {
  return [...assembly.observations.values()].map(observationOf)
}

function observationOf({ start, fields, end }: Building): CollectedObservation {
  const get = latest(fields)
  const status = (get(30) as number | undefined) ?? 0
  const promptName = get(15) as string | undefined
  const startTime = dateOf(start.time)
  // As exporters do: an observation doesn't end before it starts.
  const endTime = end === undefined || end > start.time ? end : start.time
  return {
    traceId: start.traceId,
    spanId: start.spanId,
    parentSpanId: start.parentSpanId,
    name: String(get(1) ?? start.name),
    type: OBSERVATION_TYPES[(get(2) as number | undefined) ?? start.observationType] ?? 'span',
    startTime,
    endTime: endTime === undefined ? undefined : dateOf(endTime),
    durationMs: endTime === undefined ? undefined : Number(endTime - start.time) / 1e6,
    finished: end !== undefined,
    input: get(3),
    output: get(4),
    metadata: merged(fields, 5),
    level: get(6) as string | undefined,
    statusMessage: get(7) as string | undefined,
    version: get(8) as string | undefined,
    environment: get(9) as string | undefined,
    model: get(11) as string | undefined,
    modelParameters: get(12) as Record<string, unknown> | undefined,
    usageDetails: get(13) as Record<string, number> | undefined,
    costDetails: get(14) as Record<string, number> | undefined,
    completionStartTime: givenDate(get(10)),
    prompt:
      promptName === undefined
        ? undefined
        : { name: promptName, version: get(16) as number | undefined },
    status: {
      code: status === 1 ? 'ok' : status === 2 ? 'error' : 'unset',
      message: get(31) as string | undefined,
    },
    project: get(34) as string | undefined,
    trace: {
      name: get(20) as string | undefined,
      userId: get(21) as string | undefined,
      sessionId: get(22) as string | undefined,
      tags: [...new Set(valuesOf(fields, 23).flat() as string[])],
      metadata: (merged(fields, 24) ?? {}) as Record<string, unknown>,
      public: get(25) as boolean | undefined,
      input: get(26),
      output: get(27),
    },
    attributes: Object.fromEntries(
      fields.flatMap(({ field, key, value }) => (field === 63 ? [[key as string, value]] : [])),
    ),
    events: valuesOf(fields, 32).map((value) => {
      const [name, seconds, nanoseconds, attributes] = value as [string, number, number, object]
      return {
        name,
        time: dateOf(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)),
        attributes: { ...attributes },
      }
    }),
    links: valuesOf(fields, 33).map((value) => {
      const [traceId, spanId, , attributes] = value as [string, string, number, object]
      return { traceId, spanId, attributes: { ...attributes } }
    }),
  }
}

/** The values that were given to a field; null and undefined change nothing. */
function valuesOf(fields: readonly Field[], field: number): Value[] {
  return fields.flatMap((one) =>
    one.field === field && one.value !== undefined && one.value !== null ? [one.value] : [],
  )
}

function latest(fields: readonly Field[]): (field: number) => Value {
  return (field) => valuesOf(fields, field).at(-1)
}

/** Objects merge by their top-level keys; anything else replaces what was there. */
function merged(fields: readonly Field[], field: number): Value {
  let result: Value
  for (const value of valuesOf(fields, field)) {
    result = isObject(result) && isObject(value) ? { ...result, ...value } : value
  }
  return result
}

function isObject(value: Value): value is { [key: string]: Value } {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  )
}

function dateOf(nanoseconds: bigint): Date {
  return new Date(Number(nanoseconds / 1_000_000n))
}

function givenDate(value: Value): Date | undefined {
  if (value === undefined) return undefined
  return value instanceof Date ? value : new Date(String(value))
}

/** What the segments of one writer hold. */
export interface SpoolContent {
  readonly records: readonly SpoolRecord[]
  readonly observations: readonly CollectedObservation[]
  /** References to names, strings, contexts and blobs that are not there. */
  readonly dangling: number
}

/** Reads the segments of one writer, in any order. */
export function readSegments(segments: readonly Segment[]): SpoolContent {
  const inOrder = [...segments].sort((a, b) => a.header.segment - b.header.segment)
  const blobs = joinBlobs(inOrder.flatMap(({ frames }) => frames))
  const records: SpoolRecord[] = []
  let dangling = 0
  for (const { frames } of inOrder) {
    const tables = newTables(blobs)
    records.push(...recordsOf(frames, tables))
    dangling += tables.dangling
  }
  const assembly = newAssembly()
  for (const record of records) addRecord(assembly, record)
  return { records, observations: collected(assembly), dangling }
}

export function recordsOf(frames: Iterable<Frame>, tables: Tables): SpoolRecord[] {
  const records: SpoolRecord[] = []
  for (const { kind, payload } of frames) {
    if (kind === 1) for (const record of readRecords(payload, tables)) records.push(record)
  }
  return records
}
