import { parentPort, workerData } from 'node:worker_threads'
import { quietSqliteWarning } from '../quiet-sqlite.ts'
import type { Question, Reply } from './query-worker.ts'

// The thread behind query-worker.ts: a read-only connection to the store, one query after the other.

quietSqliteWarning()
const { queryAnswerer } = await import('./answer-query.ts')
const answer = queryAnswerer((workerData as { storeDir: string }).storeDir)

parentPort!.on('message', ({ id, query }: Question) => {
  const reply: Reply = { id, answer: answer(query) }
  parentPort!.postMessage(reply, [reply.answer.body.buffer])
})
