import type { CaseName } from './cases.ts'

/** What differs between two runs of the same service. */
export interface Arm {
  /** In commands and files: lower case with hyphens. */
  readonly id: string
  /** In tables and charts; at most 30 characters. */
  readonly title: string
  /** One sentence for the report: what it does differently, in the words of its own documentation. */
  readonly what: string
  readonly group: ArmGroup
  /** Cases that it runs in, beside the arm that it is compared with. */
  readonly cases: readonly CaseName[]
  /** The arm that does the same without tracing; `untraced` when not given. Itself: compared with none. */
  readonly against?: string
  /** For the service, as JSON: it alone knows what it means. */
  readonly settings: Readonly<Record<string, unknown>>
  /** Python: which list of requirements it runs with, `requirements-<name>.txt`; `langfuse-5` when not given. */
  readonly environment?: string
  /** In the place of the case's own, where that would be too much. */
  readonly load?: { readonly perSecond: number; readonly seconds: number }
  /** Processes of the service, on one port. */
  readonly workers?: number
  /** What the server that plays Langfuse waits before it answers. */
  readonly sinkLatencyMs?: number
  /** What takes the records beside the service: its CPU is shown apart. */
  readonly beside?: 'relay' | 'redis-worker'
  /** Also part of the sweeps over payload sizes and rates, in each whole run. Any arm of the case rag can be swept: `--sweeps --arm`. */
  readonly swept?: boolean
  /** Also run under a profiler, in a cell of its own, in these cases. */
  readonly attributed?: readonly CaseName[]
}

export type ArmGroup =
  /** Nothing traced; the floor of what is possible. */
  | 'baseline'
  /** An SDK as installed. */
  | 'installed'
  /** The same, tuned. */
  | 'tuned'
  /** The same observations in another style, or more of them. */
  | 'style'
  /** What services attach beside: loggers, LangChain, prompts, audio, threads. */
  | 'integration'
  /** Something changed to find a cause. */
  | 'intervention'
  /** The work done by another process. */
  | 'elsewhere'
