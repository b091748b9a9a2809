import { expect, test } from 'vitest'
import { renderTable } from './table.ts'
import type { Terminal } from './terminal.ts'
import { columnsOf } from './text.ts'

const columns = [
  { title: 'ID' },
  { title: 'NAME', flexible: true },
  { title: 'EMPTY' },
  { title: 'N', align: 'end' },
] as const

function render(names: string[], width?: number): string[] {
  const terminal: Terminal = {
    print: () => true,
    complain: () => {},
    columns: width,
    style: (_, text) => text,
  }
  const rows = names.map((name, i) => [
    { text: `#${i}` },
    { text: name },
    { text: '' },
    { text: String(10 ** i) },
  ])
  return renderTable(columns, rows, terminal).trimEnd().split('\n')
}

test('columns are as wide as what they hold, empty ones are left out', () => {
  expect(render(['world', '世界', 'Việt'])).toEqual([
    'ID  NAME     N',
    '#0  world    1',
    '#1  世界    10',
    '#2  Việt   100',
  ])
})

test('on a terminal the flexible column gives way', () => {
  const lines = render(['x'.repeat(100), '世'.repeat(50)], 40)
  expect(lines.map(columnsOf)).toEqual([40, 40, 40])
  expect(lines[1]).toContain('x…')
  expect(lines[2]).toContain('世…')
})
