import { shown } from '../format.ts'
import type { Window } from '../timeline.ts'
import { apart, linearScale, spanScale, xAxis, yAxis } from './scales.ts'
import { box, line, path, svgOf, textAt, textWidth, WIDTH } from './svg.ts'

const LEFT = 56
const RIGHT = WIDTH - 16
const LAG_TOP = 34
const LAG_BOTTOM = 194
const BATCH_TOP = 236
const BATCH_BOTTOM = 296
const MOST_LABELS = 6

/**
 * Above: for how long the loop has been held by then, which rises to the length of the stall and falls to nothing when
 * it ends. Below: batches at their arrival, as high as they are large.
 */
export function stallChart(window: Window, named: boolean): string {
  const x = spanScale(0, window.length, LEFT, RIGHT)
  const lag = linearScale(
    window.stalls.map(({ ms }) => ms),
    LAG_BOTTOM,
    LAG_TOP,
  )
  const size = linearScale(
    window.batches.map(({ mb }) => mb),
    BATCH_BOTTOM,
    BATCH_TOP,
  )
  const parts = [
    ...yAxis(lag, LEFT, RIGHT, LAG_TOP, 'the loop held for, ms'),
    ...yAxis(size, LEFT, RIGHT, BATCH_TOP, 'batches that arrived, MB'),
    ...xAxis(x, LEFT, RIGHT, LAG_TOP, BATCH_BOTTOM, 'seconds'),
  ]
  if (window.loadedAt < window.length) {
    const end = x.at(Math.max(0, window.loadedAt))
    const text = 'the load is over'
    parts.push(box(end, LAG_TOP, RIGHT - end, LAG_BOTTOM - LAG_TOP, 'band', text))
    if (RIGHT - end > textWidth(text) + 8) parts.push(textAt(end + 6, LAG_BOTTOM - 6, text))
  }
  for (const { from, to, ms } of window.stalls) {
    // A stall that began before the window is cut at its edge.
    const begun = Math.max(0, from)
    const there = ((begun - from) / (to - from)) * ms
    const edge = Math.min(to, window.length)
    const reached = ((edge - from) / (to - from)) * ms
    parts.push(
      path(
        [
          [x.at(begun), lag.at(0)],
          [x.at(begun), lag.at(there)],
          [x.at(edge), lag.at(reached)],
          [x.at(edge), lag.at(0)],
        ],
        'held',
      ),
    )
  }
  for (const { at, mb, observations } of window.batches) {
    const tip = `${mb.toFixed(1)} MB, ${observations} observations`
    parts.push(line(x.at(at), LAG_TOP, x.at(at), LAG_BOTTOM, 'arrival'))
    parts.push(box(x.at(at) - 2, size.at(mb), 4, BATCH_BOTTOM - size.at(mb), 'part batch', tip))
  }
  if (named) parts.push(...namesOf(window, x.at))
  return svgOf(WIDTH, BATCH_BOTTOM + 44, 'the loop and the batches over time', parts)
}

/** The largest stall and batches in words, side by side between the two plots. */
function namesOf(window: Window, at: (seconds: number) => number): string[] {
  const longest = window.stalls.toSorted((a, b) => b.ms - a.ms)[0]
  const parts: string[] = []
  if (longest !== undefined) {
    const text = shown(longest.ms, 'ms')
    // Not over the name of the axis.
    const x = Math.max(LEFT + 130 + textWidth(text), at(longest.to) - 6)
    parts.push(textAt(x, LAG_TOP - 6, text, 'end', 'strong'))
  }
  const batches = window.batches
    .toSorted((a, b) => b.mb - a.mb)
    .slice(0, MOST_LABELS)
    .filter(({ mb }, _, [largest]) => mb > 0.05 * (largest?.mb ?? 0))
    .toSorted((a, b) => a.at - b.at)
  const texts = batches.map(({ mb, observations }) => `${mb.toFixed(1)} MB, ${observations} obs.`)
  const width = Math.max(0, ...texts.map((text) => textWidth(text))) + 8
  if (width * texts.length > RIGHT - LEFT - 180) return parts
  const places = apart(
    batches.map((batch) => at(batch.at)),
    width,
    LEFT + 180 + width / 2,
    RIGHT - width / 2,
  )
  for (const [index, text] of texts.entries()) {
    const place = places[index] as number
    parts.push(textAt(place, BATCH_TOP - 12, text, 'middle', 'tick'))
    parts.push(
      line(
        at((batches[index] as { at: number }).at),
        BATCH_TOP - 2,
        place,
        BATCH_TOP - 9,
        'leader',
      ),
    )
  }
  return parts
}
