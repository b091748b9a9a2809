import { flush } from '@offpath/sdk'
import { startChatApi } from './server.ts'

try {
  const api = await startChatApi()
  console.log(JSON.stringify({ ready: true, url: api.url }))

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, async () => {
      await api.close()
      await flush({ timeoutMs: 2_000 })
    })
  }
} catch (error) {
  // A setting that is wrong, or a port that is taken: the message says which.
  console.error((error as Error).message)
  process.exitCode = 1
}
