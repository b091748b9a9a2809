import type { DeadKey } from '../store/dead-letters.ts'
import { StoreReader } from '../store/read.ts'
import { API_BOUNDS, findTrace, listTraces } from './answers.ts'
import { listDeadLetters, wholeDeadLetter } from './dead-letters.ts'
import { type Answer, errorBody, jsonAnswer, type Query } from './query.ts'
import { storeStats } from './stats.ts'

/** Answers queries from a read-only connection, which is opened once there is a store. */
export function queryAnswerer(storeDir: string): (query: Query) => Answer {
  let opened: StoreReader | null = null
  return (query) => {
    opened ??= StoreReader.open(storeDir)
    if (opened === null) return jsonAnswer(503, errorBody('no_store', 'the store is not there yet'))
    switch (query.type) {
      case 'traces':
        return jsonAnswer(200, listTraces(opened, query))
      case 'trace':
        return traceAnswer(opened, query.id)
      case 'dead':
        return jsonAnswer(200, listDeadLetters(opened, query, query.limit))
      case 'deadLetter':
        return deadLetterAnswer(opened, query.key)
      case 'stats':
        return jsonAnswer(200, storeStats(opened))
    }
  }
}

function traceAnswer(reader: StoreReader, id: string): Answer {
  const result = findTrace(reader, id, API_BOUNDS)
  if (result.found !== null) return jsonAnswer(200, result.found)
  if (result.problem === 'unknown') return jsonAnswer(404, errorBody('not_found', 'no such trace'))
  const { error } = errorBody('ambiguous', 'several traces begin so')
  return jsonAnswer(409, { error: { ...error, ids: result.ids } })
}

function deadLetterAnswer(reader: StoreReader, key: DeadKey): Answer {
  const row = reader.dead.get(key)
  if (row !== undefined) return jsonAnswer(200, wholeDeadLetter(reader, row, API_BOUNDS))
  return jsonAnswer(404, errorBody('not_found', 'no such dead letter'))
}
