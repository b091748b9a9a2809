import { flush } from '@offpath/sdk'
import { startChatApi } from './server.ts'

const api = await startChatApi()
console.log(JSON.stringify({ ready: true, url: api.url }))

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, async () => {
    await api.close()
    await flush({ timeoutMs: 2_000 })
  })
}
