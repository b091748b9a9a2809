import type { Style, Terminal } from './terminal.ts'
import { columnsOf, fit, pad } from './text.ts'

export interface Column {
  readonly title: string
  readonly align?: 'start' | 'end'
  /** Gives way when the terminal is too narrow. */
  readonly flexible?: true
}

export interface Cell {
  readonly text: string
  readonly style?: Style
}

const GAP = 2
const MIN_FLEXIBLE = 8

/** Rows under titles, as wide as their contents; on a terminal the flexible columns are cut to fit. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  terminal: Terminal,
): string {
  const used = columns.map((_, i) => i).filter((i) => rows.some((row) => row[i]!.text !== ''))
  const widths = new Map(
    used.map((i) => {
      const texts = [columns[i]!.title, ...rows.map((row) => row[i]!.text)]
      return [i, Math.max(...texts.map(columnsOf))]
    }),
  )
  if (terminal.columns !== undefined) shrink(widths, columns, terminal.columns)

  const line = (cells: readonly Cell[]): string => {
    const parts = used.map((i, n) => {
      const width = widths.get(i)!
      const { text, style } = cells[i]!
      const cut = fit(text, width)
      const shown = style === undefined ? cut : terminal.style(style, cut)
      const spaces = pad('', width - columnsOf(cut))
      if (columns[i]!.align === 'end') return spaces + shown
      return n === used.length - 1 ? shown : shown + spaces
    })
    return `${parts.join(' '.repeat(GAP)).trimEnd()}\n`
  }
  const titles = columns.map(({ title }): Cell => ({ text: title, style: 'dim' }))
  return line(titles) + rows.map(line).join('')
}

function shrink(widths: Map<number, number>, columns: readonly Column[], available: number): void {
  const total = (): number => {
    return [...widths.values()].reduce((sum, width) => sum + width + GAP, -GAP)
  }
  for (let over = total() - available; over > 0; over = total() - available) {
    const flexible = [...widths].filter(
      ([i, width]) => columns[i]!.flexible && width > MIN_FLEXIBLE,
    )
    const widest = flexible.sort((a, b) => b[1] - a[1])[0]
    if (widest === undefined) return
    const next = flexible[1]?.[1] ?? MIN_FLEXIBLE
    const [i, width] = widest
    widths.set(i, Math.max(MIN_FLEXIBLE, width - over, Math.min(next, width - 1)))
  }
}
