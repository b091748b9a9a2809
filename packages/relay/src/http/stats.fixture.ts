import type { Stats } from './stats.ts'

type ExporterStats = Stats['exporters'][number]

const delivery: NonNullable<ExporterStats['delivery']> = {
  url: 'https://example.com/v1/traces',
  state: 'ok',
  since: '2026-11-24T10:00:00.000Z',
  message: null,
  inFlight: 2,
  requests: 9,
  retries: 3,
  bytes: 900,
  lastError: null,
  lanes: [],
}

const apart: NonNullable<ExporterStats['scores']> = {
  accepted: 6,
  delivered: 3,
  deadLettered: 1,
  dropped: { backlog_full: 1 },
  held: 1,
  heldBytes: 100,
  retried: 2,
  deadDropped: 1,
  oldestHeld: '2026-11-24T10:00:00.000Z',
  delivery,
}

export const exporterStats: ExporterStats = {
  name: 'langfuse',
  accepted: 12,
  delivered: 5,
  deadLettered: 1,
  dropped: { backlog_full: 2 },
  held: 4,
  waiting: 3,
  waitingBytes: 3000,
  oldestWaiting: '2026-11-24T10:00:00.000Z',
  backlogCapBytes: 10_000,
  resent: 0,
  notResent: 0,
  deadDropped: 1,
  delivery,
  scores: apart,
  media: apart,
}

/** Something of everything that statistics can have. */
export const fullStats: Stats = {
  relay: {
    version: '0.1.0',
    pid: 1,
    url: 'http://127.0.0.1:7411',
    startedAt: '2026-11-24T09:00:00.000Z',
    storeFull: false,
  },
  store: { dir: '/store', bytes: 1000, capBytes: 2000 },
  redis: {
    url: 'redis://127.0.0.1:6379',
    streams: [{ stream: 'offpath:{0}', length: 70 }],
    maxLength: 100,
    groups: [
      {
        name: 'langfuse',
        consumer: 'host-a:1:0a0b0c0d',
        trouble: null,
        entries: 60,
        heldEntries: 7,
        takenOver: 5,
        damaged: 1,
        condemned: 2,
        lost: 3,
        pending: 20,
        lag: 50,
      },
    ],
  },
  spool: [
    {
      dir: '/spool',
      tier: 'memory',
      capBytes: null,
      limitBytes: 640,
      bytes: 64,
      segments: 1,
      unreadBytes: 6,
      leftAlone: [],
    },
  ],
  accepted: 12,
  open: 1,
  interrupted: 0,
  lost: { spool_full: 2 },
  lostScores: { no_spool: 1 },
  exporters: [exporterStats],
  writers: [
    { id: 'w', service: 'chat', host: 'host-a', pid: 2, open: 1, alive: true, segments: 1 },
    { id: 'v', service: 'chat', host: 'host-b', pid: 3, open: 0, alive: null, segments: 0 },
  ],
  deadLetters: [],
  deadScores: [],
  deadMedia: [],
  vitals: [
    {
      service: 'chat',
      seconds: 1,
      observations: 1,
      observationsPerTrace: 1,
      microsecondsPerObservation: 2.5,
      microsecondsPerTrace: 2.5,
      loopDelayMaxMs: 12,
      rssBytes: 1,
      lost: 0,
    },
  ],
  counters: {
    scores: 4,
    stored: 11,
    records: 20,
    readBytes: 2000,
    corruptFrames: 1,
    corruptBytes: 96,
    tornTails: 2,
    expiredChunks: 3,
    'received.otlp.spans': 5,
    'received.otlp.revised': 1,
    'received.otlp.known': 2,
    'received.otlp.rejected.invalid_id': 3,
    'received.otlp.linksLeftOut': 1,
    'received.import.spans': 7,
  },
}
