import { StoreReader } from '../store/read.ts'
import { type Dropped, dropDead, type Retried, retryDead } from './dead.ts'
import type { Operated } from './operated.ts'
import { type Replayed, replay } from './replay.ts'
import { deadSelection, replayRequest } from './requests.ts'

/**
 * What people have done to what is stored, asked for as JSON. The running relay does it, or a command while none runs.
 *
 * @throws OperationError: it cannot be done as it was asked for
 */
export interface Operations {
  retryDead(body: unknown): Promise<Retried>
  dropDead(body: unknown): Promise<Dropped>
  replay(body: unknown): Promise<Replayed>
}

export function createOperations(on: Operated): Operations {
  const reading = async <T>(act: (reader: StoreReader) => Promise<T>): Promise<T> => {
    const reader = StoreReader.open(on.storeDir)
    if (reader === null) throw new Error(`the store ${on.storeDir} is gone`)
    try {
      return await act(reader)
    } finally {
      reader.close()
    }
  }
  return {
    retryDead: async (body) => {
      const which = deadSelection(body)
      return reading((reader) => retryDead(on, reader, which))
    },
    dropDead: async (body) => {
      const which = deadSelection(body)
      return reading((reader) => dropDead(on, reader, which))
    },
    replay: async (body) => {
      const request = replayRequest(body)
      return reading((reader) => replay(on, reader, request))
    },
  }
}
