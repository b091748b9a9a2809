/** What a request is, the same in both languages; workload.ts writes the bodies. */
export interface Case {
  readonly title: string
  /** Of the service. */
  readonly path: '/chat' | '/agent' | '/audio' | '/jobs'
  /** Characters of messages; documents have half as many beside. */
  readonly characters: number
  readonly language: 'en' | 'vi'
  readonly perSecond: number
  /** Measured seconds of a cell in the full run. */
  readonly seconds: number
  /** Observations of a request, as most arms trace it. */
  readonly observations: number
}

const KB = 1024

export type CaseName = 'chat' | 'rag' | 'longctx' | 'vi' | 'agent' | 'audio' | 'jobs' | 'own'

export const CASES: Readonly<Record<CaseName, Case>> = {
  chat: {
    title: 'chat, 4 KB',
    path: '/chat',
    characters: 4 * KB,
    language: 'en',
    perSecond: 100,
    seconds: 10,
    observations: 3,
  },
  rag: {
    title: 'RAG, 64 KB',
    path: '/chat',
    characters: 64 * KB,
    language: 'en',
    perSecond: 100,
    seconds: 10,
    observations: 3,
  },
  longctx: {
    title: 'long context, 256 KB',
    path: '/chat',
    characters: 256 * KB,
    language: 'en',
    perSecond: 20,
    seconds: 50,
    observations: 3,
  },
  vi: {
    title: 'Vietnamese, 64 K characters',
    path: '/chat',
    characters: 64 * KB,
    language: 'vi',
    perSecond: 100,
    seconds: 10,
    observations: 3,
  },
  agent: {
    title: 'agent, 60 observations',
    path: '/agent',
    characters: 4 * KB,
    language: 'en',
    perSecond: 50,
    seconds: 20,
    observations: 60,
  },
  audio: {
    title: 'audio, 1.5 MB of WAV',
    path: '/audio',
    characters: 200,
    language: 'en',
    perSecond: 4,
    seconds: 15,
    observations: 2,
  },
  jobs: {
    title: '50 jobs in threads',
    path: '/jobs',
    characters: 2 * KB,
    language: 'en',
    perSecond: 4,
    seconds: 15,
    observations: 101,
  },
  /** With `--bodies` alone: requests that a user brings. */
  own: {
    title: 'own requests',
    path: '/chat',
    characters: 0,
    language: 'en',
    perSecond: 20,
    seconds: 50,
    observations: 3,
  },
}
