import type { ServiceFigures } from './results.ts'

// A service under measurement is a process that is started with a ServiceRequest as JSON in its last argument, prints one
// line of JSON with where it listens, `{"port":…,"pid":…}`, and then answers each line of stdin with one line of JSON:
//
//   flush     hands over what is recorded, and says `{"recorded":…}`, the observations since `begin` (or the start); a
//             flush that can't end within 90 s is given up
//   begin     `{}`; from here on it is measured
//   loaded    the load is over: an answer `{}`; lag, stalls and memory count up to here
//   end       ServiceFigures, CPU counted up to here; then the process ends by itself with status 0
//
// stderr is the terminal's. Nothing else is written to stdout. When stdin ends, it ends.

export interface ServiceRequest {
  /** Of the arm. */
  readonly settings: Readonly<Record<string, unknown>>
  /** 0: any. Workers of one service listen on the same port (SO_REUSEPORT). */
  readonly port: number
  /** The simulator of vLLM, without `/v1`. */
  readonly upstream: string
  /** The server that plays Langfuse, and a plain OTLP endpoint at `/v1/traces`. Keys: lab/apparatus/keys.ts. */
  readonly sink: string
  /** redis://… for arms that hand over to Redis; the list is `lab`. */
  readonly redis?: string
  /** A profile is made. JavaScript: it goes there. Python: py-spy does it; the service marks the time in it at `begin`. */
  readonly profile?: string
}

/** Requests that a service answers, all by POST with a body of this shape, and with `{"answer":…}` and status 200. */
export interface ServiceBody {
  readonly user: string
  /** A system prompt with most of the text, turns, and a question at the end. */
  readonly messages: readonly { readonly role: string; readonly content: string }[]
  /** `/chat`: what the retriever finds, deep JSON. */
  readonly documents?: unknown
  /** `/agent`: 58 steps, small values. */
  readonly steps?: readonly Step[]
  /** `/audio`: 1.5 MB of WAV, base64. */
  readonly audio?: string
  /** `/jobs`: texts of 2 K characters, one a job. */
  readonly jobs?: readonly string[]
}

export interface Step {
  readonly name: string
  readonly input: unknown
  readonly output: unknown
}

export type ServiceAnswer = ServiceFigures
