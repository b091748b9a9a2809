import type { ArmGroup } from '../../arms.ts'
import type { Fit, FittedLine } from '../fit.ts'
import { linearScale, xAxis, yAxis } from './scales.ts'
import { dot, path, svgOf } from './svg.ts'

const TOP = 34
const LEFT = 58
const MOST_POINTS = 600

/** Batches with their longest stalls and with all together, and the lines through them. */
export function scatterPanel(fit: Fit, group: ArmGroup, width: number, height: number): string {
  const right = width - 14
  const bottom = height - 44
  const sizes = fit.points.map(({ mb }) => mb)
  const stalls = fit.points.map(({ longestMs, togetherMs }) => Math.max(longestMs, togetherMs))
  const x = linearScale(sizes, LEFT, right)
  const y = linearScale(stalls, bottom, TOP)
  const parts = [
    ...yAxis(y, LEFT, right, TOP, 'stall, ms'),
    ...xAxis(x, LEFT, right, TOP, bottom, 'MB of the batch'),
  ]
  // Thousands of dots on one another show no more than hundreds; every n-th, so that none is chosen by its value.
  const step = Math.ceil(fit.points.length / MOST_POINTS)
  for (const [index, { mb, longestMs, togetherMs, case: inCase }] of fit.points.entries()) {
    if (index % step !== 0) continue
    const together = togetherMs > 0 ? `, together ${togetherMs.toFixed(0)} ms` : ''
    const tip = `${inCase}: ${mb.toFixed(1)} MB, longest ${longestMs.toFixed(0)} ms${together}`
    if (togetherMs > 0) parts.push(dot(x.at(mb), y.at(togetherMs), 3, `ring ${group}`, tip))
    parts.push(dot(x.at(mb), y.at(longestMs), 2.5, `seen ${group}`, tip))
  }
  const ends = [Math.min(...sizes), Math.max(...sizes)]
  const drawn = ({ interceptMs, slopeMsPerMb }: FittedLine) =>
    ends.map((mb) => [x.at(mb), y.at(interceptMs + slopeMsPerMb.value * mb)] as const)
  if (fit.together !== undefined) parts.push(path(drawn(fit.together), 'fitted dash1'))
  parts.push(path(drawn(fit.longest), 'fitted'))
  return svgOf(width, height, 'stalls by bytes of the batch', parts)
}
