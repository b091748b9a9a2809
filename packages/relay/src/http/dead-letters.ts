import { DEAD_KINDS, type DeadFilter, type DeadRow, deadId } from '../store/dead-letters.ts'
import type { StoreReader } from '../store/read.ts'
import { observationsOf, type TraceBounds } from './answers.ts'
import type { DeadLetter, DeadLetterList, Json, WholeDeadLetter } from './shapes.ts'

// Dead letters as the API answers and the CLI prints them: from rows of the store to the shapes of shapes.ts.

export function listDeadLetters(
  { dead }: StoreReader,
  filter: DeadFilter,
  limit: number,
): DeadLetterList {
  const rows = DEAD_KINDS.flatMap((kind): DeadRow[] => dead.newest(kind, filter, limit))
  const newest = rows.sort((a, b) => b.time - a.time || b.id - a.id).slice(0, limit)
  return { deadLetters: newest.map(deadLetterOf), total: dead.count(filter) }
}

/** `bounds` are those of its observation. */
export function wholeDeadLetter(
  reader: StoreReader,
  row: DeadRow,
  bounds: Pick<TraceBounds, 'valueBytes' | 'totalBytes'>,
): WholeDeadLetter {
  const whole = { ...deadLetterOf(row), observation: null, score: null, media: null }
  switch (row.what) {
    case 'span': {
      const span = reader.spanAt(row.chunk, row.index)
      const observations = span === null ? [] : observationsOf(reader, [span], bounds)
      return { ...whole, observation: observations[0] ?? null }
    }
    case 'score':
      return { ...whole, score: row.score as { [key: string]: Json } }
    case 'media': {
      const { field, contentType, bytes, sha256 } = row
      return { ...whole, media: { field, contentType, bytes, sha256 } }
    }
  }
}

function deadLetterOf(row: DeadRow): DeadLetter {
  const { what, exporter, reason, time } = row
  return {
    id: deadId(row),
    what,
    exporter,
    time: new Date(time).toISOString(),
    reason,
    ...aboutOf(row),
  }
}

function aboutOf(row: DeadRow): Pick<DeadLetter, 'traceId' | 'observationId' | 'name'> {
  switch (row.what) {
    case 'span':
      return { traceId: row.traceId, observationId: row.spanId, name: row.name }
    case 'score': {
      const { traceId, observationId, name } = row.score
      return { traceId: textOf(traceId), observationId: textOf(observationId), name: String(name) }
    }
    case 'media':
      return {
        traceId: row.traceId,
        observationId: row.observationId,
        name: `${row.field} ${row.contentType}`,
      }
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
