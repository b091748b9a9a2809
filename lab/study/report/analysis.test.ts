import hdr from 'hdr-histogram-js'
import { describe, expect, test } from 'vitest'
import type { Batch, Cell, Results, Stall } from '../results.ts'
import { addressesOf } from './addresses.ts'
import { type Findings, findingsOf, isWithinNoise, type Row } from './analysis.ts'
import { drawsOf, estimate } from './bootstrap.ts'
import { leastSquares, pairBatches } from './fit.ts'
import { readLatencies } from './latencies.ts'
import { syntheticResults } from './synthetic.ts'
import type { Timeline } from './timeline.ts'
import { fitText } from './words.ts'

const results = syntheticResults()
const findings = findingsOf(results)
const row = (inCase: string, id: string, from: Findings = findings): Row => {
  const found = from.rows.find((each) => each.case === inCase && each.id === id)
  if (found === undefined) throw new Error(`no ${inCase}/${id}`)
  return found
}
const cellsOf = (arm: string, inCase: string): Cell[] =>
  results.cells.filter((cell) => cell.arm === arm && cell.case === inCase && cell.part === 'cases')

function encoded(ms: readonly number[]): string {
  const histogram = hdr.build({ numberOfSignificantValueDigits: 3 })
  for (const value of ms) histogram.recordValue(Math.round(value * 1000))
  return hdr.encodeIntoCompressedBase64(histogram)
}

describe('latencies', () => {
  test('of several cells are pooled, to the precision of the histograms', () => {
    const one = Array.from({ length: 900 }, (_, index) => 10 + index / 100)
    const other = Array.from({ length: 300 }, (_, index) => 100 + index)
    const pooled = readLatencies([encoded(one), encoded(other)])
    const all = [...one, ...other].toSorted((a, b) => a - b)
    expect(pooled.requests).toBe(1200)
    expect(pooled.maxMs / 399).toBeCloseTo(1, 2)
    for (const percent of [1, 50, 75, 95, 99, 100]) {
      const exact = all[Math.ceil((percent / 100) * all.length) - 1] as number
      expect(pooled.percentileMs(percent) / exact).toBeCloseTo(1, 2)
    }
    expect(pooled.percentileMs(99, [0]) / (one[890] as number)).toBeCloseTo(1, 2)
    expect(pooled.percentileMs(50, [1, 1]) / 249).toBeCloseTo(1, 2)
  })

  test('have no percentile that the requests can’t tell', () => {
    // 12 s of 100 a second, three rounds.
    expect(row('rag', 'sdk-5').figures.p99_ms).toBeDefined()
    expect(row('rag', 'sdk-5').figures.p999_ms).toBeUndefined()
    const short = findingsOf(syntheticResults({ rounds: 1, seconds: 3, cases: ['rag'] }))
    expect(row('rag', 'sdk-5', short).figures.p95_ms).toBeDefined()
    expect(row('rag', 'sdk-5', short).figures.p99_ms).toBeUndefined()
    expect(row('rag', 'sdk-5', short).figures.p99_above_ms).toBeUndefined()
    expect(row('rag', 'sdk-5', short).figures.p95_ms?.low).toBeUndefined()
  })
})

describe('an estimate', () => {
  test('has an interval that holds what it estimates, in 95 of 100 cases or so', () => {
    const draws = drawsOf(3)
    let seed = 1
    const random = (): number => {
      seed = (seed * 48271) % 2147483647
      return seed / 2147483647
    }
    let held = 0
    for (let time = 0; time < 200; time++) {
      const values = Array.from({ length: 40 }, random)
      const { low, high } = estimate(40, draws, (indices) =>
        indices.reduce((sum, index) => sum + (values[index] as number) / 40, 0),
      )
      if ((low as number) <= 0.5 && 0.5 <= (high as number)) held++
    }
    expect(held).toBeGreaterThan(180)
    expect(held).toBeLessThan(200)
  })

  test('is the same again for the same results', () => {
    expect(findingsOf(syntheticResults())).toEqual(findings)
  })
})

test('what is above is the median of the differences in a round', () => {
  const traced = cellsOf('sdk-5', 'rag')
  const untraced = cellsOf('untraced', 'rag').filter((cell) => !cell.again)
  const differences = traced
    .map((cell) => {
      const other = untraced.find(({ round }) => round === cell.round) as Cell
      return cell.service.mainUs - other.service.mainUs
    })
    .toSorted((a, b) => a - b)
  const { cpu_main_above_us: above } = row('rag', 'sdk-5').figures
  expect(above).toEqual({ value: differences[1], low: differences[0], high: differences[2] })
})

test('the parts of the excess add up to it, round by round', () => {
  const short = findingsOf(syntheticResults({ rounds: 1, cases: ['rag', 'chat'] }))
  for (const each of short.rows.filter(({ figures }) => figures.rest_us !== undefined)) {
    const { figures } = each
    const parts = ['recording_us', 'waiting_us', 'blocked_us', 'network_us', 'rest_us'] as const
    const sum = parts.reduce((total, name) => total + (figures[name]?.value ?? Number.NaN), 0)
    expect(sum).toBeCloseTo((figures.mean_above_ms?.value ?? Number.NaN) * 1000, 3)
  }
  expect(row('chat', 'flush-each', short).figures.blocked_us?.value).toBe(8000)
})

test('two runs of the same are within the noise floor, an SDK that holds the loop is not', () => {
  for (const name of ['p50_ms', 'p99_ms', 'cpu_main_us', 'lag_round_max_ms'] as const) {
    expect(isWithinNoise(findings, row('rag', 'untraced-again'), name)).toBe(true)
    expect(isWithinNoise(findings, row('rag', 'sdk-5'), name)).toBe(false)
  }
  const differences = results.cells
    .filter((cell) => cell.case === 'rag' && cell.again)
    .map((again) => {
      const first = cellsOf('untraced', 'rag').find(
        ({ round, again: second }) => round === again.round && !second,
      ) as Cell
      return Math.abs(first.service.mainUs - again.service.mainUs)
    })
  const noise = findings.noise.find((each) => each.case === 'rag')
  expect(noise?.figures.cpu_main_us).toBeCloseTo(Math.max(...differences), 9)
})

test('delivered is held against recorded', () => {
  const { recorded, delivered, lost, delivered_share: share } = row('rag', 'sdk-4').figures
  expect(recorded?.value).toBe(10_800)
  expect(lost?.value).toBeGreaterThan(0)
  expect((delivered?.value ?? 0) + (lost?.value ?? 0)).toBe(10_800)
  expect(share?.value).toBeCloseTo((delivered?.value ?? 0) / 10_800, 9)
  expect(row('rag', 'sdk-5').figures.lost?.value).toBe(0)
})

describe('what was not delivered', () => {
  const [some] = cellsOf('sdk-5', 'rag') as [Cell]
  const lostOf = (service: Partial<Cell['service']>): Row['figures'] => {
    const changed: Cell = {
      ...some,
      round: 1,
      delivered: some.service.recorded - 100,
      service: { ...some.service, ...service },
    }
    return row('rag', 'sdk-5', findingsOf({ ...results, cells: [changed] })).figures
  }

  test('was dropped, or was still held when the flush was given up', () => {
    expect(lostOf({ isFlushGivenUp: true, held: 60 })).toMatchObject({
      ...{ lost: { value: 100 }, dropped: { value: 40 } },
      ...{ held: { value: 60 }, given_up: { value: 1 } },
    })
    expect(lostOf({})).toMatchObject({ dropped: { value: 100 }, given_up: { value: 0 } })
  })

  test('is either in earlier results, where 30 s ended a flush and nobody looked', () => {
    const figures = lostOf({ flushMs: 30_002 })
    expect(figures).toMatchObject({ lost: { value: 100 }, given_up: { value: 1 } })
    expect(figures.dropped).toBeUndefined()
  })
})

test('what came after the load is told, with when the last did', () => {
  const [some] = cellsOf('sdk-5', 'rag') as [Cell]
  const loadedAt = some.measured[1]
  const batches: Batch[] = [
    [loadedAt - 10, 1, 1, 300],
    [loadedAt + 2000, 1, 1, 200],
  ]
  const late = findingsOf({ ...results, cells: [{ ...some, batches }] })
  expect(row('rag', 'sdk-5', late).figures).toMatchObject({
    delivered_after_load: { value: 200 },
    last_arrival_ms: { value: 2000 },
  })
})

test('a cell that was held for most of its time is saturated', () => {
  expect(findings.attributed.map(({ isSaturated }) => isSaturated)).toEqual([false, false, false])
  const attributions = results.attributions.map((each) => ({ ...each, seconds: 1 }))
  const [first] = findingsOf({ ...results, attributions }).attributed
  expect(first?.isSaturated).toBe(true)
})

describe('a batch', () => {
  const cell = (stalls: Stall[], batches: Batch[]): Cell => {
    const [some] = results.cells as [Cell]
    return { ...some, measured: [0, 4100], batches, service: { ...some.service, stalls } }
  }

  test('goes with the stalls since the batch before', () => {
    const { points, unseen } = pairBatches([
      cell(
        [
          [900, 12],
          [950, 40],
          [1900, 15],
          [4000, 90],
          [4050, 11],
        ],
        [
          [1000, 0, 2e6, 10],
          [2000, 0, 1e6, 10],
          [3000, 0, 3e6, 10],
          // After the load.
          [4200, 0, 9e6, 10],
        ],
      ),
    ])
    expect(points.map(({ mb, longestMs, togetherMs }) => [mb, longestMs, togetherMs])).toEqual([
      [2, 40, 52],
      [1, 15, 15],
    ])
    expect(unseen).toBe(1)
  })

  test('that held the loop for less than 10 ms has its delay, where such are noted', () => {
    const some = cell(
      [[1900, 15]],
      [
        [1000, 0, 2e6, 10],
        [2000, 0, 1e6, 10],
        [3000, 0, 3e6, 10],
      ],
    )
    const delays: Stall[] = [
      [900, 3],
      [950, 7.5],
      [1800, 9],
    ]
    const { points, unseen } = pairBatches([{ ...some, service: { ...some.service, delays } }])
    expect(points.map(({ mb, longestMs, togetherMs }) => [mb, longestMs, togetherMs])).toEqual([
      [2, 7.5, 0],
      [1, 15, 15],
    ])
    expect(unseen).toBe(1)
  })

  test('is told of with what was noted in its run', () => {
    const [some] = cellsOf('sdk-5', 'rag') as [Cell]
    const service = { ...some.service, delays: [] }
    const noted = findingsOf({ ...results, cells: [{ ...some, service }] })
    expect(fitText(noted)).toContain('delays of 2 ms and more')
    expect(fitText(findings)).toContain('Batches without a stall above 10 ms have no place')
  })

  test('does not answer for the garbage collector', () => {
    const some = cell(
      [
        [900, 40],
        [950, 20],
      ],
      [[1000, 0, 2e6, 10]],
    )
    const gc = { ...some.service.gc, pauses: [[899, 30] as const] }
    const { points } = pairBatches([{ ...some, service: { ...some.service, gc } }])
    expect(points.map(({ longestMs }) => longestMs)).toEqual([20])
  })

  test('does not answer for one that was lost', () => {
    const some = cell([[900, 40]], [[1000, 0, 2e6, 10]])
    const service = { ...some.service, recorded: some.delivered + 10 }
    expect(pairBatches([{ ...some, service }]).points).toEqual([])
  })

  test('lies on the line that the model drew', () => {
    const fit = findings.fits.find(({ arm }) => arm === 'sdk-5')
    expect(fit?.longest.slopeMsPerMb.low).toBeLessThan(10)
    expect(fit?.longest.slopeMsPerMb.high).toBeGreaterThan(9.5)
    expect(fit?.longest.r2).toBeGreaterThan(0.9)
    // What a relay sends holds up no service.
    expect(findings.fits.map(({ arm }) => arm)).not.toContain('relay')
  })

  test('is of one kind of text, and each has a line of its own', () => {
    const fit = findings.fits.find(({ arm }) => arm === 'sdk-5')
    expect(fit?.kinds.map(({ name }) => name)).toEqual(['english', 'vietnamese'])
    const batches = fit?.kinds.reduce((sum, kind) => sum + kind.batches, 0)
    expect(batches).toBe(fit?.points.length)
    expect(fit?.kinds[0]?.longest?.slopeMsPerMb.value).toBeGreaterThan(9)
    const english = findingsOf({
      ...results,
      cells: results.cells.filter((cell) => cell.case !== 'vi'),
    })
    expect(english.fits.find(({ arm }) => arm === 'sdk-5')?.kinds).toEqual([])
  })

  test('on an exact line gives it back', () => {
    const { slope, intercept, r2 } = leastSquares([1, 2, 5].map((mb) => ({ mb, ms: 3 + 7 * mb })))
    expect([slope, intercept, r2].map((value) => Number(value.toFixed(9)))).toEqual([7, 3, 1])
  })
})

test('the timeline holds the longest stall of an SDK as installed, and the batch after it', () => {
  const timeline = findings.timeline
  const installed = results.cells.filter(({ part, arm }) => part === 'cases' && /^sdk-/.test(arm))
  const longest = Math.max(
    ...installed.flatMap(({ service }) => service.stalls.map(([, ms]) => ms)),
  )
  expect(timeline?.longestMs).toBe(longest)
  const near = timeline?.windows[1]
  const stall = near?.stalls.find(({ ms }) => ms === longest)
  expect(stall?.from).toBeGreaterThan(0)
  expect(near?.batches.some(({ at }) => at >= (stall?.to ?? 0) && at <= near.length)).toBe(true)
})

test('no timeline is of a service that did not keep up, however long its stalls are', () => {
  const { arm, case: inCase, round, longestMs } = findings.timeline as Timeline
  const cells = results.cells.map((cell): Cell => {
    if (cell.arm !== arm || cell.case !== inCase || cell.round !== round) return cell
    const stalls = cell.service.stalls.map(([at]): Stall => [at, cell.seconds * 1000])
    return { ...cell, service: { ...cell.service, stalls } }
  })
  const other = findingsOf({ ...results, cells }).timeline
  expect([other?.arm, other?.case, other?.round]).not.toEqual([arm, inCase, round])
  expect(other?.longestMs).toBeLessThanOrEqual(longestMs)
})

test('addresses lead to the figures, and to the ends of their intervals', () => {
  const found = addressesOf(findings)
  const { p99_ms: p99 } = row('rag', 'sdk-5').figures
  expect(found.get('rag/sdk-5/p99_ms')).toEqual(p99)
  expect(found.get('rag/sdk-5/p99_ms/low')).toEqual({ value: p99?.low })
  expect(found.get('versions/python')).toBe('3.11.2')
  for (const address of [
    'rag/untraced-again/p50_ms',
    'rag/noise/p99_ms',
    'sizes/sdk-5/65536/lag_max_ms',
    'rates/relay/100/cpu_total_us',
    'fit/sdk-5/longest/slope_ms_per_mb/high',
    'fit/sdk-5/english/longest/r2',
    'fit/sdk-5/vietnamese/batches',
    'attributed/longctx/sdk-5/stalled_share',
    'attributed/longctx/sdk-5/thread/OtelBatchSpanProcessor/share',
    'attributed/longctx/sdk-5/package/protobuf/share',
    'timeline/longest_ms',
    'about/rounds',
    'machine/cores',
  ]) {
    expect(found.has(address), address).toBe(true)
  }
})

test('results without a pair, sweeps, stalls or attributions have findings all the same', () => {
  const bare: Results = {
    ...syntheticResults({ rounds: 1, seconds: 1, cases: ['chat'] }),
    attributions: [],
    cells: cellsOf('relay', 'chat').slice(0, 1),
  }
  const few = findingsOf(bare)
  expect(few.rows.map(({ id }) => id)).toEqual(['relay'])
  expect(few.rows[0]?.figures.cpu_main_above_us).toBeUndefined()
  expect(few).toMatchObject({
    noise: [],
    sweeps: [],
    fits: [],
    attributed: [],
    timeline: undefined,
  })
})
