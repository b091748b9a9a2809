/** A question to the store, as the API asks it. */
export type Query =
  | {
      readonly type: 'traces'
      readonly limit: number
      readonly before: string | undefined
      readonly service: string | undefined
    }
  /** `id`: a trace id or the beginning of one, lower-case hex. */
  | { readonly type: 'trace'; readonly id: string }
  /** What the store knows of /api/stats. */
  | { readonly type: 'stats' }

/** Status and JSON, ready to be sent. */
export interface Answer {
  readonly status: number
  readonly body: Uint8Array<ArrayBuffer>
}

export const LIMITS = { defaultTraces: 50, maxTraces: 500 } as const

/** The API's form of an error. */
export function errorBody(
  code: string,
  message: string,
): { error: { code: string; message: string } } {
  return { error: { code, message } }
}

export function jsonAnswer(status: number, body: unknown): Answer {
  return { status, body: new TextEncoder().encode(JSON.stringify(body)) }
}
