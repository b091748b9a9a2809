import { flush } from '@offpath/sdk'
import { startRelay } from 'offpath'
import { readConfig } from './config.ts'
import { startChatApi } from './server.ts'

try {
  const relay = readConfig().startsRelay ? startRelay() : undefined
  const api = await startChatApi()
  console.log(JSON.stringify({ ready: true, url: api.url }))

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, async () => {
      await api.close()
      await (relay?.stop() ?? flush())
    })
  }
} catch (error) {
  // A setting that is wrong, or a port that is taken: the message says which.
  console.error((error as Error).message)
  process.exitCode = 1
}
