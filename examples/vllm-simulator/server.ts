import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { type Behaviour, defaultBehaviour, readBehaviour } from './behaviour.ts'
import { answerChat, sendJson } from './chat.ts'
import { type ChatRequest, type ErrorBody, errorBody, modelList } from './dialect.ts'

export interface SimulatorOptions extends Partial<Behaviour> {
  host?: string
  /** 0, the default, takes any free port. */
  port?: number
  model?: string
  /** Called with each chat request; `whole` becomes false where its client or a fault cuts it. */
  onChat?: (whole: Promise<boolean>) => void
}

export interface Simulator {
  url: string
  /** Drops open connections and frees the port. */
  close(): Promise<void>
}

/** Starts a server that speaks vLLM's dialect of the OpenAI chat API. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { host = '127.0.0.1', port = 0, model = 'Qwen/Qwen3-8B', onChat, ...own } = options
  const defaults = { ...defaultBehaviour, ...own }
  const startedAt = Math.floor(Date.now() / 1000)

  const server = createServer((request, response) => {
    const route = `${request.method} ${request.url}`
    if (route === 'POST /v1/chat/completions') void chat(request, response)
    else if (route === 'GET /v1/models') sendJson(response, 200, modelList(model, startedAt))
    else if (route === 'GET /health') response.end()
    else sendJson(response, 404, errorBody(404, 'Not Found'))
  })

  async function chat(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const closed = new AbortController()
    const whole = once(response, 'close').then(() => {
      closed.abort()
      return response.writableFinished
    })
    onChat?.(whole)
    try {
      const body = await json(request).catch(() => null)
      const refusal = refuse(body, model)
      if (refusal) return sendJson(response, refusal.error.code, refusal)
      const behaviour = readBehaviour(
        (name) => request.headers[`x-sim-${name}`]?.toString(),
        defaults,
      )
      await answerChat(body as ChatRequest, model, behaviour, response, closed.signal)
    } catch (error) {
      if (error instanceof RangeError)
        sendJson(response, 400, errorBody(400, `x-sim-${error.message}`))
      else if (!closed.signal.aborted) throw error
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve)
  })
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** vLLM's answer to a request it does not accept, undefined for one that it does. */
function refuse(body: unknown, model: string): ErrorBody | undefined {
  const { messages, model: asked } = (body ?? {}) as Partial<ChatRequest>
  if (!Array.isArray(messages) || messages.length === 0) {
    return errorBody(
      400,
      "[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]",
    )
  }
  if (asked && asked !== model) {
    return errorBody(404, `The model \`${asked}\` does not exist.`, 'NotFoundError', 'model')
  }
  return undefined
}
