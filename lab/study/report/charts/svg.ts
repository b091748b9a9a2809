// Charts are SVG as text: no script, no library, nothing from elsewhere. Colours come from classes of the page's style
// sheet, which knows of light and dark.

/** Text for HTML and SVG, in attributes too. */
export function escapeText(value: string): string {
  return value.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

export interface Chart {
  /** In links. */
  readonly id: string
  /** In the list of contents. */
  readonly name: string
  /** A sentence: what it shows. */
  readonly title: string
  /** How it is to be read. */
  readonly how: string
  readonly legend: readonly LegendEntry[]
  readonly svg: string
}

export interface LegendEntry {
  readonly text: string
  readonly mark: string
  readonly kind: 'dot' | 'box' | 'line'
}

export const WIDTH = 960

/** Width of 12 px text, generously: nothing measures it before it is drawn. */
export function textWidth(text: string, size = 12): number {
  return text.length * size * 0.56
}

/** The text, cut to what fits. */
export function fitting(text: string, width: number, size = 12): string {
  const most = Math.floor(width / (size * 0.56))
  return text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`
}

export function svgOf(
  width: number,
  height: number,
  label: string,
  parts: readonly string[],
): string {
  return `<svg viewBox="0 0 ${round(width)} ${round(height)}" width="${round(width)}" height="${round(height)}" role="img" aria-label="${escapeText(label)}">${parts.join('')}</svg>`
}

type Anchor = 'start' | 'middle' | 'end'

export function textAt(
  x: number,
  y: number,
  text: string,
  anchor: Anchor = 'start',
  mark = '',
): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${classOf(mark)}>${escapeText(text)}</text>`
}

export function line(x1: number, y1: number, x2: number, y2: number, mark: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"${classOf(mark)}/>`
}

/** With what it says when pointed at. */
export function box(
  x: number,
  y: number,
  width: number,
  height: number,
  mark: string,
  tip = '',
): string {
  const inner = tip === '' ? '' : `<title>${escapeText(tip)}</title>`
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(Math.max(0, width))}" height="${round(Math.max(0, height))}"${classOf(mark)}>${inner}</rect>`
}

export function dot(x: number, y: number, radius: number, mark: string, tip = ''): string {
  const inner = tip === '' ? '' : `<title>${escapeText(tip)}</title>`
  return `<circle cx="${round(x)}" cy="${round(y)}" r="${radius}"${classOf(mark)}>${inner}</circle>`
}

export function path(points: readonly (readonly [number, number])[], mark: string): string {
  const steps = points.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`)
  return `<path d="${steps.join('')}"${classOf(mark)}/>`
}

function classOf(mark: string): string {
  return mark === '' ? '' : ` class="${escapeText(mark)}"`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
