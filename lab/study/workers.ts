import type { ServiceFigures, Spread } from './results.ts'

/** Figures of all workers of a service as those of one: see ServiceFigures. */
export function together(all: readonly ServiceFigures[]): ServiceFigures {
  const [first] = all
  if (first === undefined) throw new RangeError('a service without workers')
  if (all.length === 1) return first
  const sum = (of: (figures: ServiceFigures) => number): number =>
    all.reduce((total, figures) => total + of(figures), 0)
  const timed = sum(({ split }) => split.requests)
  // Each says what a request of its own costs; every worker times the same part of its requests.
  const perRequest = (of: (figures: ServiceFigures) => number): number =>
    sum((figures) => of(figures) * figures.split.requests) / Math.max(1, timed)
  const mean = (of: (split: ServiceFigures['split']) => number): number =>
    sum(({ split }) => of(split) * split.requests) / Math.max(1, timed)
  const held = all.flatMap((figures) => figures.held ?? [])
  const gil = all.flatMap((figures) => figures.gil ?? [])
  return {
    mainUs: perRequest(({ mainUs }) => mainUs),
    processUs: perRequest(({ processUs }) => processUs),
    lag: worst(all.map(({ lag }) => lag)),
    ...(gil.length > 0 && { gil: worst(gil) }),
    gc: {
      full: sum(({ gc }) => gc.full),
      fullMaxMs: Math.max(...all.map(({ gc }) => gc.fullMaxMs)),
      totalMs: sum(({ gc }) => gc.totalMs),
      pauses: all.flatMap(({ gc }) => gc.pauses ?? []).sort(([a], [b]) => a - b),
    },
    stalls: all.flatMap(({ stalls }) => stalls).sort(([a], [b]) => a - b),
    rssMb: sum(({ rssMb }) => rssMb),
    threads: sum(({ threads }) => threads),
    recorded: sum(({ recorded }) => recorded),
    flushMs: Math.max(...all.map(({ flushMs }) => flushMs)),
    isFlushGivenUp: all.some(({ isFlushGivenUp }) => isFlushGivenUp),
    ...(held.length === all.length && { held: held.reduce((total, count) => total + count, 0) }),
    split: {
      requests: timed,
      recordingUs: mean(({ recordingUs }) => recordingUs),
      waitingInCallsUs: mean(({ waitingInCallsUs }) => waitingInCallsUs),
      flushUs: mean(({ flushUs }) => flushUs),
      networkUs: mean(({ networkUs }) => networkUs),
    },
  }
}

function worst(spreads: readonly Spread[]): Spread {
  const most = (of: (spread: Spread) => number): number => Math.max(...spreads.map(of))
  return {
    p50Ms: most(({ p50Ms }) => p50Ms),
    p99Ms: most(({ p99Ms }) => p99Ms),
    maxMs: most(({ maxMs }) => maxMs),
  }
}
