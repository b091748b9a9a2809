import { decodeFromCompressedBase64, type JsHistogram } from 'hdr-histogram-js'

/** Latencies of several cells on one scale: any selection of the cells can be pooled. */
export interface Latencies {
  /** Of all cells. */
  readonly requests: number
  readonly maxMs: number
  /** Of the cells with these indices, each as often as it is there; of all when not given. NaN of none. */
  percentileMs(percent: number, cells?: readonly number[]): number
}

/** So many requests a percentile needs: with fewer beyond it, it is a matter of luck. */
const NEEDED: ReadonlyMap<number, number> = new Map([
  [50, 20],
  [95, 200],
  [99, 2_000],
  [99.9, 20_000],
])

/** Whether so many requests can tell this percentile. */
export function isTold(percent: number, requests: number): boolean {
  return requests >= (NEEDED.get(percent) ?? Number.POSITIVE_INFINITY)
}

/** @param encoded HdrHistograms of µs: V2, compressed, base64 */
export function readLatencies(encoded: readonly string[]): Latencies {
  const histograms = encoded.map((text) => decodeFromCompressedBase64(text) as JsHistogram)
  const scale = new Map<number, Float64Array>()
  for (const [cell, histogram] of histograms.entries()) {
    for (let index = 0; index < histogram.countsArrayLength; index++) {
      const count = histogram.getCountAtIndex(index)
      if (count === 0) continue
      const us = histogram.highestEquivalentValue(histogram.valueFromIndex(index))
      let counts = scale.get(us)
      if (counts === undefined) {
        counts = new Float64Array(histograms.length)
        scale.set(us, counts)
      }
      counts[cell] = count
    }
  }
  const values = Float64Array.from(scale.keys()).sort()
  const counts = histograms.map((_, cell) =>
    Float64Array.from(values, (us) => scale.get(us)?.[cell] ?? 0),
  )
  const totals = histograms.map((histogram) => histogram.totalCount)
  const every = totals.map((_, cell) => cell)
  const requestsOf = (cells: readonly number[]): number =>
    cells.reduce((sum, cell) => sum + (totals[cell] as number), 0)
  return {
    requests: requestsOf(every),
    maxMs: Math.max(0, ...histograms.map((histogram) => histogram.maxValue)) / 1000,
    percentileMs: (percent, cells = every) => {
      const rank = Math.max(1, Math.ceil((percent / 100) * requestsOf(cells) - 1e-9))
      let seen = 0
      for (let at = 0; at < values.length; at++) {
        for (const cell of cells) seen += (counts[cell] as Float64Array)[at] as number
        if (seen >= rank) return (values[at] as number) / 1000
      }
      return Number.NaN
    },
  }
}
