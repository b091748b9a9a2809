import type { Config } from '../config/options.ts'
import { WRITE } from '../http/guard.ts'
import { createOperations, type Operations } from '../operations/operations.ts'
import { lockStore } from '../store/lock.ts'
import { Store } from '../store/store.ts'
import { findRelay, post } from './relay-client.ts'
import { openStore } from './store.ts'

/** What an operation says that it has done, and whether a relay runs that goes on with it. */
interface Outcome<K extends keyof Operations> {
  readonly done: Awaited<ReturnType<Operations[K]>>
  readonly relayRuns: boolean
}

/**
 * Has something changed in the store by its one writer: the running relay, or, while none runs, ourselves.
 *
 * @throws Error with a code `OFFPATH_…` and a message of one line
 */
export async function operate<K extends keyof Operations>(
  config: Config,
  name: K,
  body: object,
): Promise<Outcome<K>> {
  const relay = await findRelay(config)
  const done =
    relay === null
      ? await alone(config, async (operations): Promise<unknown> => operations[name](body))
      : await post(relay, WRITE[name], body, config['http.token'])
  return { done: done as Outcome<K>['done'], relayRuns: relay !== null }
}

async function alone<T>(config: Config, act: (operations: Operations) => Promise<T>): Promise<T> {
  const storeDir = config['store.dir']
  // Says how to get one when there is none; writing would make one.
  openStore(config).close()
  const lock = lockStore(storeDir)
  try {
    const store = new Store(storeDir)
    try {
      store.exportersAsBefore()
      const operations = createOperations({
        store,
        storeDir,
        backlogBytes: config['export.backlog-cap'],
        sendAgain: (exporter, chosen) => store.sendAgain(exporter, chosen),
        wake: () => {},
      })
      return await act(operations)
    } finally {
      store.close()
    }
  } finally {
    lock.release()
  }
}
