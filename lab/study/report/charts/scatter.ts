import type { ArmGroup } from '../../arms.ts'
import type { Fit } from '../fit.ts'
import { linearScale, xAxis, yAxis } from './scales.ts'
import { dot, path, svgOf } from './svg.ts'

const TOP = 34
const LEFT = 52
const MOST_POINTS = 600

/** Batches as dots and the line through them. */
export function scatterPanel(fit: Fit, group: ArmGroup, width: number, height: number): string {
  const right = width - 14
  const bottom = height - 44
  const x = linearScale(
    fit.points.map(({ mb }) => mb),
    LEFT,
    right,
  )
  const y = linearScale(
    fit.points.map(({ ms }) => ms),
    bottom,
    TOP,
  )
  const parts = [
    ...yAxis(y, LEFT, right, TOP, 'stall, ms'),
    ...xAxis(x, LEFT, right, TOP, bottom, 'MB of the batch'),
  ]
  // Thousands of dots on one another show no more than hundreds; every n-th, so that none is chosen by its value.
  const step = Math.ceil(fit.points.length / MOST_POINTS)
  for (const [index, { mb, ms, case: inCase }] of fit.points.entries()) {
    if (index % step !== 0) continue
    parts.push(
      dot(
        x.at(mb),
        y.at(ms),
        2.5,
        `seen ${group}`,
        `${inCase}: ${mb.toFixed(1)} MB, ${ms.toFixed(0)} ms`,
      ),
    )
  }
  const sizes = fit.points.map(({ mb }) => mb)
  const ends = [Math.min(...sizes), Math.max(...sizes)]
  const stallOf = (mb: number): number => fit.interceptMs + fit.slopeMsPerMb.value * mb
  parts.push(
    path(
      ends.map((mb) => [x.at(mb), y.at(stallOf(mb))] as const),
      'fitted',
    ),
  )
  return svgOf(width, height, 'stall by bytes of the batch', parts)
}
