import type { AddressInfo } from 'node:net'
import fastify, { type FastifyError } from 'fastify'
import { chatCompletions } from './completions.ts'
import { type ChatApiOptions, readConfig } from './config.ts'
import { errorBody, failure, warning } from './outcome.ts'
import { traceRequests } from './trace-requests.ts'
import { connectUpstream } from './upstream.ts'

export interface ChatApi {
  url: string
  /** Lets running requests finish for `graceMs`, then cuts them; all their observations have ended. */
  close(): Promise<void>
}

/** Starts the chat API. It traces through `@offpath/sdk`, which needs no set-up in code. */
export async function startChatApi(options: ChatApiOptions = {}): Promise<ChatApi> {
  const config = readConfig(options)
  const upstream = connectUpstream(config)
  const app = fastify({ bodyLimit: 16 * 1024 * 1024 })

  app.get('/health', () => ({ status: 'ok' }))

  // A plugin has hooks of its own: only the routes in it are traced.
  let tracesEnded: () => Promise<unknown> = () => Promise.resolve()
  app.register(async (api) => {
    tracesEnded = traceRequests(api, 'api.chat.completions')
    api.setErrorHandler<FastifyError>((error, request, reply) => {
      const status = error.statusCode ?? 500
      const outcome = (status < 500 ? warning : failure)(status, error.message)
      request.trace.outcome = outcome
      request.trace.output = errorBody(outcome)
      return reply.code(status).send(errorBody(outcome))
    })
    api.post('/api/chat/completions', chatCompletions(upstream, config.upstreamTimeoutMs))
  })

  await app.listen({ host: config.host, port: config.port })
  return {
    url: `http://${config.host}:${(app.server.address() as AddressInfo).port}`,
    async close() {
      const cut = setTimeout(() => app.server.closeAllConnections(), config.graceMs)
      const closed = app.close()
      await tracesEnded()
      // A connection whose request was running when the server closed is kept alive by Node.
      app.server.closeIdleConnections()
      await closed
      clearTimeout(cut)
      await upstream.close()
    },
  }
}
