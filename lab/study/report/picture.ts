import type { Chart } from './charts/svg.ts'
import { escapeText, fitting, textAt, WIDTH } from './charts/svg.ts'
import { PICTURE_STYLE } from './style.ts'

const MARGIN = 12
const ABOVE = 52
const SIZE = /viewBox="0 0 ([\d.]+) ([\d.]+)" width="[\d.]+" height="[\d.]+"/

/**
 * A chart as a file of its own, for pages that show pictures and no HTML: its sentence above, colours and ground within, which
 * follow the reader's light or dark.
 */
export function asPicture({ title, svg }: Chart): string {
  const [found = '', width = '', height = ''] = SIZE.exec(svg) ?? []
  const wide = Number(width) + 2 * MARGIN
  const high = Number(height) + ABOVE + MARGIN
  const inner = svg.replace(
    found,
    `x="${MARGIN}" y="${ABOVE}" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${high}" width="${wide}" height="${high}" role="img" aria-label="${escapeText(title)}">`,
    `<style>${PICTURE_STYLE}</style>`,
    `<rect class="ground" width="${wide}" height="${high}"/>`,
    textAt(MARGIN + 8, 30, fitting(title, WIDTH, 14), 'start', 'heading strong'),
    inner,
    '</svg>\n',
  ].join('\n')
}
