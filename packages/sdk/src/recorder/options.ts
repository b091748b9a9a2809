/** When a record reaches the kernel: one write an event-loop turn, or one write a record. */
export type Durability = 'turn' | 'record'

/** Attributes of the resource that all observations of the process belong to. */
export type ResourceAttributes = Readonly<Record<string, string | number | boolean>>

/** What a recorder is made from: complete, validated and frozen. config.ts makes it. */
export interface RecorderOptions {
  /** False: nothing is recorded and no file is opened. */
  readonly enabled: boolean
  /** Share of new traces that is recorded, 0 to 1; see sampling.ts. */
  readonly sampleRate: number
  readonly durable: Durability
  /** Memory-backed directory, tried first. */
  readonly spoolDir: string
  /** Bytes in spoolDir; undefined: 64 MB or half of what is free there, whichever is less. */
  readonly spoolCapBytes: number | undefined
  /** Directory on disk, used when spoolDir can't take more. */
  readonly diskDir: string
  readonly diskCapBytes: number
  readonly service: string | undefined
  readonly environment: string | undefined
  readonly release: string | undefined
  /** Project of observations that name none; exporters map it to keys. */
  readonly project: string | undefined
  /** Further resource attributes, without service, environment and release. */
  readonly resource: ResourceAttributes
  /** Characters or bytes kept of one value (input, output, one attribute). */
  readonly maxValueBytes: number
  readonly maxDepth: number
  /** Values (objects, array items, fields) kept of one value. */
  readonly maxNodes: number
  readonly sdk: { readonly name: string; readonly version: string }
  /** Tell on stderr what the recorder does. */
  readonly debug: boolean
}
