import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { type Exported, exportedLines } from '../operations/export.ts'
import type { StoreReader } from '../store/read.ts'
import { type Call, type Run, UsageError } from './call.ts'
import { plural } from './format.ts'
import { momentFlag } from './numbers.ts'
import { openStore } from './store.ts'
import { jsonLine } from './text.ts'

export const run: Run = async (call) => {
  const { flags, loaded, json } = call
  const out = flags.get('out')
  if (json && out === undefined) {
    throw new UsageError(
      '--json says what was exported: with --out alone; the lines are JSON anyway',
    )
  }
  const given = {
    from: momentFlag(call, 'from') ?? 0,
    to: momentFlag(call, 'to') ?? Number.MAX_SAFE_INTEGER,
    service: flags.get('service'),
  }
  const prefix = traceOf(call)
  const reader = openStore(loaded.config)
  try {
    const traceId = prefix === undefined ? undefined : oneTrace(reader, prefix)
    const exported: Exported = { spans: 0, unreadable: 0 }
    const spanBytes = loaded.config['export.span-bytes']
    const lines = exportedLines(reader, { ...given, traceId }, spanBytes, exported)
    if (out === undefined) await print(lines, call)
    else write(lines, out)
    tell(reader, exported, call)
    return exported.unreadable === 0 ? 0 : 1
  } finally {
    reader.close()
  }
}

function traceOf({ flags }: Call): string | undefined {
  const id = flags.get('trace')?.toLowerCase()
  if (id === undefined || /^[0-9a-f]{1,32}$/.test(id)) return id
  throw new UsageError(`--trace: "${id}" is no trace id: 32 hexadecimal digits, or their beginning`)
}

function oneTrace(reader: StoreReader, prefix: string): string {
  const [id, other] = reader.traceIds(prefix, prefix.length === 32 ? 1 : 2)
  if (id !== undefined && other === undefined) return id
  const many = other === undefined ? 'no trace begins' : 'several traces begin'
  const message = `${many} with ${prefix}; \`offpath ls\` lists them`
  throw Object.assign(new Error(message), { code: 'OFFPATH_OPERATION' })
}

/** As fast as they are read: what waits for a reader is a line. */
async function print(lines: Iterable<object>, { terminal }: Call): Promise<void> {
  for (const line of lines) {
    if (!terminal.print(jsonLine(line)) && process.stdout.writableNeedDrain) {
      await once(process.stdout, 'drain')
    }
  }
}

/** Into a file that was not there before, and that has its name once it is whole: this may be stopped at any time. */
function write(lines: Iterable<object>, path: string): void {
  if (existsSync(path)) throw new UsageError(`--out: ${path} is there already; name another file`)
  const partial = `${path}.${process.pid}.partial`
  const file = openSync(partial, 'wx', 0o600)
  try {
    try {
      for (const line of lines) writeFileSync(file, jsonLine(line))
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(partial, path)
  } catch (error) {
    unlinkSync(partial)
    throw error
  }
}

function tell(reader: StoreReader, { spans, unreadable }: Exported, call: Call): void {
  const { flags, json, terminal } = call
  const open = reader.open()
  const scores = reader.exporters().reduce((sum, one) => sum + (one.scores?.held ?? 0), 0)
  if (json) {
    terminal.print(jsonLine({ observations: spans, open, scores, unreadable }))
    return
  }
  if (flags.has('out')) {
    terminal.print(`${plural(spans, 'observation')} in ${flags.get('out')}\n`)
  }
  const notes: [number, string][] = [
    [open, `${plural(open, 'observation')} open: not in it, for they have not ended`],
    [scores, `${plural(scores, 'score')} waiting for delivery: not in it, for OTLP has none`],
    [unreadable, `${plural(unreadable, 'chunk')} of observations cannot be read`],
  ]
  for (const [n, note] of notes) if (n > 0) terminal.complain(`offpath: ${note}`)
}
