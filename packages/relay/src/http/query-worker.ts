import { Worker } from 'node:worker_threads'
import { type Answer, errorBody, jsonAnswer, type Query } from './query.ts'

/** Answers queries in a thread of its own: a slow one does not hold the relay's event loop. */
export interface QueryWorker {
  ask(query: Query): Promise<Answer>
  close(): Promise<void>
}

export interface QueryWorkerOptions {
  readonly storeDir: string
  /** Queries that may wait at a time; further ones are told to come back. */
  readonly maxWaiting?: number
  /** After so long a query is given up and its thread ended. */
  readonly timeoutMs?: number
  onError(error: Error): void
  /** For tests. */
  readonly file?: URL
}

/** From the relay to the thread; the answer carries the same id. */
export interface Question {
  readonly id: number
  readonly query: Query
}

export interface Reply {
  readonly id: number
  readonly answer: Answer
}

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js'

/** Starts the thread at the first question, and again after it failed. */
export function queryWorker(options: QueryWorkerOptions): QueryWorker {
  const { storeDir, maxWaiting = 32, timeoutMs = 15_000 } = options
  const file = options.file ?? new URL(`./queries.worker.${EXTENSION}`, import.meta.url)
  const waiting = new Map<number, { resolve(answer: Answer): void; timer: NodeJS.Timeout }>()
  let worker: Worker | undefined
  let lastId = 0
  let closed = false

  const start = (): Worker => {
    const started = new Worker(file, { workerData: { storeDir }, name: 'offpath-queries' })
    started.unref()
    started.on('message', ({ id, answer }: Reply) => settle(id, answer))
    started.on('error', options.onError)
    started.on('exit', () => {
      if (worker !== started) return
      worker = undefined
      giveUp(503, 'query_failed', 'the query was interrupted; try again')
    })
    return started
  }
  const settle = (id: number, answer: Answer): void => {
    const question = waiting.get(id)
    if (question === undefined) return
    waiting.delete(id)
    clearTimeout(question.timer)
    question.resolve(answer)
  }
  const giveUp = (status: number, code: string, message: string): void => {
    for (const id of [...waiting.keys()]) settle(id, jsonAnswer(status, errorBody(code, message)))
  }
  const end = async (): Promise<void> => {
    const ended = worker
    worker = undefined
    await ended?.terminate()
  }

  return {
    ask: (query) => {
      if (closed || waiting.size >= maxWaiting) {
        return Promise.resolve(jsonAnswer(503, errorBody('busy', 'too many queries; try again')))
      }
      worker ??= start()
      const id = ++lastId
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          void end()
          giveUp(504, 'timeout', `the query took longer than ${timeoutMs} ms`)
        }, timeoutMs)
        waiting.set(id, { resolve, timer })
        worker!.postMessage({ id, query } satisfies Question)
      })
    },
    close: async () => {
      closed = true
      giveUp(503, 'closing', 'the relay is stopping')
      await end()
    },
  }
}
