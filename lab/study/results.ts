import type { ArmGroup } from './arms.ts'

/** What a run of a study measured, as it was: reports are made from this alone. */
export interface Results {
  readonly format: 1
  readonly study: Study
  readonly quick: boolean
  /** How it was started. */
  readonly command: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly minutes: number
  readonly seed: number
  readonly rounds: number
  readonly machine: Machine
  /** By name: node, python, fastify, langfuse-5 … */
  readonly versions: Readonly<Record<string, string>>
  readonly arms: readonly ArmFacts[]
  readonly cases: readonly CaseFacts[]
  readonly cells: readonly Cell[]
  readonly attributions: readonly Attribution[]
  /** Arms that could not run here, and why. */
  readonly skipped: readonly { readonly arm: string; readonly reason: string }[]
}

export type Study = 'js' | 'python'

interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryMb: number
  /**
   * Before the run: the time to write into a page of memory that the process has just got, µs. On virtual machines it is
   * many times what it is else, and large batches pay it. Earlier results don't say.
   */
  readonly newPageUs?: number
  readonly system: string
}

export interface ArmFacts {
  readonly id: string
  readonly title: string
  readonly what: string
  readonly group: ArmGroup
  readonly against: string
}

export interface CaseFacts {
  readonly name: string
  readonly title: string
  readonly perSecond: number
  readonly observations: number
}

/** One service process (or several workers) under load for some seconds. */
export interface Cell {
  /** `cases`: arms in the cases; `sizes`, `rates`: sweeps. */
  readonly part: 'cases' | 'sizes' | 'rates'
  readonly arm: string
  /** Undefined in the first of the two runs of `untraced` in a round: the second is the A/A pair. */
  readonly again?: true
  readonly case: string
  /** From 1. */
  readonly round: number
  readonly characters: number
  readonly perSecond: number
  readonly seconds: number
  /** From when to when stalls were noted (ms since 1970): those of batches that arrived later are not all known. */
  readonly measured: readonly [from: number, to: number]
  readonly requests: number
  /** Requests that were not answered with 200. */
  readonly failed: number
  /** From the planned start, µs: an HdrHistogram, V2, compressed, base64. */
  readonly latency: string
  readonly meanMs: number
  readonly service: ServiceFigures
  /** CPU per request of what is beside the service (the relay, a worker), µs. */
  readonly besideUs: number
  /** Observations that the server has got. */
  readonly delivered: number
  /** Different traces that the server has got. Only where it decodes: the case `jobs`. */
  readonly traces?: number
  /** Requests of the exporter that the server has got. */
  readonly batches: readonly Batch[]
}

/** What a service says of itself. With several workers: sums of CPU, memory, counts and threads, the worst of the rest. */
export interface ServiceFigures {
  /** CPU per request until all is delivered, µs: of the main thread, of the whole process with its children. */
  readonly mainUs: number
  readonly processUs: number
  /** What a ticker of 1 ms on the event loop was late, ms. */
  readonly lag: Spread
  /** Python: what a thread that wakes each 5 ms was late, ms. */
  readonly gil?: Spread
  /** Of the garbage collector, while requests ran. */
  readonly gc: Collections
  /** Delays of the loop above 10 ms. */
  readonly stalls: readonly Stall[]
  /** JavaScript, where most batches cause no more: those of 2 to 10 ms; of a cell the longest between two batches. */
  readonly delays?: readonly Stall[]
  readonly rssMb: number
  readonly threads: number
  /** Observations that the program began. */
  readonly recorded: number
  /** What the last flush, after the load, took, ms. */
  readonly flushMs: number
  /** It had not ended after 90 s. Earlier results don't say: there it was 30 s. */
  readonly isFlushGivenUp?: boolean
  /** Observations that the SDK still held at the end, in its queue and in the batch on its way; where that can be seen. */
  readonly held?: number
  readonly split: Split
}

export interface Spread {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

interface Collections {
  /** Of all objects: Python's third generation, V8's mark-compact. */
  readonly full: number
  readonly fullMaxMs: number
  /** Of all collections together. */
  readonly totalMs: number
  /** Those above 1 ms (JavaScript) or 5 ms. Earlier results have none. */
  readonly pauses?: readonly Stall[]
}

/** When it ended (ms since 1970), and how long it was, ms. */
export type Stall = readonly [endedAt: number, ms: number]

/** When it was there (ms since 1970); bytes on the wire, bytes decompressed, observations. */
export type Batch = readonly [at: number, wireBytes: number, bytes: number, observations: number]

/** Where the time of a request goes, on the path of the request: means, µs; of one request in eight. */
export interface Split {
  readonly requests: number
  /** CPU of the thread within calls of the tracing API. */
  readonly recordingUs: number
  /** Time within these calls, less the CPU: waiting for the GIL, a lock, the machine. */
  readonly waitingInCallsUs: number
  /** Time blocked in a flush at the request's end. */
  readonly flushUs: number
  /** Time blocked in a request to the server, such as for a prompt. */
  readonly networkUs: number
}

/** What ran in the stalls of a cell that was profiled; its latencies are not shown, for the profiler costs. */
export interface Attribution {
  readonly arm: string
  readonly case: string
  readonly seconds: number
  /** The tool and its settings. */
  readonly tool: string
  /** Stalls above 20 ms, in the order of time. */
  readonly stalls: readonly AttributedStall[]
  /** Over the whole cell: who had the loop (JavaScript) or the GIL (Python). Largest first, at most 40. */
  readonly overall: readonly Share[]
}

export interface AttributedStall {
  readonly endedAt: number
  readonly ms: number
  /** Largest first, at most 10. */
  readonly shares: readonly Share[]
}

/** Time that samples found in a function. */
export interface Share {
  /** `main`, or the thread's name. */
  readonly thread: string
  /** An npm or PyPI package, `node`, `python`, `application`, `garbage collection` … */
  readonly package: string
  /** `function (file:line)`; the innermost of that package. */
  readonly function: string
  readonly ms: number
}
