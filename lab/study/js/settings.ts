/** What an arm may set (arms.ts); named as in the SDKs where they have it. Without any it is the bare service. */
export interface Settings {
  readonly tracer?: 'langfuse' | 'offpath' | 'otel' | 'redis' | 'file'
  /** Functions wrapped by the SDK's `observe` instead of active observations; the same observations. */
  readonly style?: 'observe'
  /** `/agent`: the root and the generation alone. */
  readonly few?: true
  readonly flushAt?: number
  /** Seconds. */
  readonly flushInterval?: number
  readonly exportMode?: 'immediate'
  readonly sampleRate?: number
  readonly compression?: 'gzip'
  /** Batches are encoded and posted by a child process. */
  readonly export?: 'child'
  /** Before each answer leaves. */
  readonly flushEachRequest?: true
  /** `/chat`: what is used beside. */
  readonly attached?: 'langchain' | 'logs' | 'prompt'
  /** `/chat`: the generation's messages are strings of their own, with the text of the root's. */
  readonly ownText?: true
  /** `/audio`; a data URI when not given. */
  readonly media?: 'bytes'
  readonly durable?: 'record'
}
