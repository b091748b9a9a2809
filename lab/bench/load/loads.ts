import { AGENT_SPANS, agent } from './agent.ts'
import { chatOf } from './chat.ts'
import { HISTORY_SPANS, history } from './history.ts'
import type { Workload } from './workload.ts'

interface Load {
  readonly perSecond: number
  /** Observations of a request. */
  readonly spans: number
  readonly workload: Workload
}

export type LoadCase = 'chat' | 'rag' | 'longctx' | 'agent' | 'vi' | 'history'

const KB = 1024

export const LOADS: Readonly<Record<LoadCase, Load>> = {
  chat: { perSecond: 200, spans: 3, workload: chatOf({ size: 4 * KB, language: 'en' }) },
  rag: { perSecond: 100, spans: 3, workload: chatOf({ size: 64 * KB, language: 'en' }) },
  longctx: {
    perSecond: 20,
    spans: 4,
    workload: chatOf({ size: 256 * KB, language: 'en', judged: true }),
  },
  agent: { perSecond: 100, spans: AGENT_SPANS, workload: agent },
  vi: { perSecond: 100, spans: 3, workload: chatOf({ size: 64 * KB, language: 'vi' }) },
  // Runs of 40 steps last 1.1 s: four or five are under way at a time.
  history: { perSecond: 4, spans: HISTORY_SPANS, workload: history },
}
