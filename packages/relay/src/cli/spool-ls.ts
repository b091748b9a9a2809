import { listSegments, type Segment, type Tier } from '../http/segments.ts'
import { listSpoolOf } from '../receivers/redis-list/spool.ts'
import type { Run } from './call.ts'
import { bytes, clockTime, count, plural } from './format.ts'
import { renderTable } from './table.ts'
import { jsonLine, printable } from './text.ts'

export const run: Run = async ({ json, loaded: { config }, terminal }) => {
  const segments: Segment[] = []
  const add = (directory: string, tier: Tier): void => {
    try {
      segments.push(...listSegments(directory, tier))
    } catch (error) {
      terminal.complain(`offpath: ${directory} cannot be listed: ${(error as Error).message}`)
    }
  }
  add(config['spool.dir'], 'memory')
  add(config['spool.disk-dir'], 'disk')
  for (const directory of listSpoolOf(config)) add(directory, 'disk')
  if (json) {
    terminal.print(jsonLine({ segments }))
    return 0
  }
  if (segments.length === 0) {
    const places = `${config['spool.dir']} or ${config['spool.disk-dir']}`
    terminal.print(`No segments in ${places}: no application is recording there, or all is read.\n`)
    return 0
  }
  const columns = [
    { title: 'SEGMENT' },
    { title: 'TIER' },
    { title: 'SERVICE', flexible: true },
    { title: 'PID', align: 'end' },
    { title: 'THREAD', align: 'end' },
    { title: 'WRITER' },
    { title: 'STARTED' },
    { title: 'FRAMES', align: 'end' },
    { title: 'SIZE', align: 'end' },
    { title: '', flexible: true },
  ] as const
  const rows = segments.map((segment) => [
    { text: printable(segment.path.slice(segment.path.lastIndexOf('/') + 1)) },
    { text: segment.tier },
    { text: printable(segment.service ?? '') },
    { text: String(segment.pid ?? '') },
    { text: segment.thread ? String(segment.thread) : '' },
    lifeCell(segment.alive),
    { text: segment.startTime === null ? '' : clockTime(new Date(segment.startTime)) },
    { text: segment.frames === null ? '' : count(segment.frames) },
    { text: bytes(segment.bytes) },
    { text: printable(segment.fault ?? ''), style: 'red' as const },
  ])
  terminal.print(renderTable(columns, rows, terminal))
  const total = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  terminal.print(terminal.style('dim', `${plural(segments.length, 'segment')}, ${bytes(total)}\n`))
  return 0
}

function lifeCell(alive: boolean | null): { text: string; style?: 'green' | 'yellow' | 'dim' } {
  if (alive === null) return { text: 'unknown', style: 'dim' }
  return alive ? { text: 'alive', style: 'green' } : { text: 'dead', style: 'yellow' }
}
