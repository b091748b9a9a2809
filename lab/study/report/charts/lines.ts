import type { ArmGroup } from '../../arms.ts'
import { apart, logScale, type Scale, xAxis, yAxis } from './scales.ts'
import { dot, fitting, line, path, svgOf, textAt } from './svg.ts'

interface Line {
  readonly label: string
  readonly group: ArmGroup
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Panel {
  readonly name: string
  readonly lines: readonly Line[]
}

const TOP = 34
const LEFT = 48
const LABEL_LINE = 15

/**
 * Lines on a logarithmic y axis, each with its name at the right, where its end is or as near as there is room. Lines of
 * one group differ in their dashes.
 *
 * @param xScale of the given left and right end
 */
export function linePanel(
  { name, lines }: Panel,
  width: number,
  height: number,
  labels: number,
  xName: string,
  floor: number,
  xScale: (from: number, to: number) => Scale,
): string {
  const right = width - labels
  const bottom = height - 44
  const x = xScale(LEFT, right)
  const y = logScale(
    lines.flatMap((each) => each.points.map((point) => point[1])),
    bottom,
    TOP,
    floor,
  )
  const parts = [...yAxis(y, LEFT, right, TOP, name), ...xAxis(x, LEFT, right, TOP, bottom, xName)]
  const shown = lines.filter((each) => each.points.length > 0)
  const places = apart(
    shown.map((each) => y.at((each.points.at(-1) as readonly [number, number])[1])),
    LABEL_LINE,
    TOP,
    Math.max(bottom, TOP + shown.length * LABEL_LINE),
  )
  const inGroup = new Map<ArmGroup, number>()
  for (const [index, each] of shown.entries()) {
    const nth = inGroup.get(each.group) ?? 0
    inGroup.set(each.group, nth + 1)
    const places2 = each.points.map(([px, py]) => [x.at(px), y.at(py)] as const)
    parts.push(path(places2, `curve ${each.group} dash${nth % 4}`))
    for (const [at, place] of places2.entries()) {
      const [px, py] = each.points[at] as readonly [number, number]
      parts.push(
        dot(
          place[0],
          place[1],
          2.5,
          `fill ${each.group}`,
          `${each.label}: ${px}, ${py.toPrecision(3)}`,
        ),
      )
    }
    const [endX, endY] = places2.at(-1) as readonly [number, number]
    const place = places[index] as number
    parts.push(line(endX + 3, endY, right + 10, place, `leader ${each.group}`))
    parts.push(line(right + 10, place, right + 24, place, `curve ${each.group} dash${nth % 4}`))
    parts.push(textAt(right + 29, place + 4, fitting(each.label, labels - 30), 'start'))
  }
  return svgOf(width, height, `${name} by ${xName}`, parts)
}
