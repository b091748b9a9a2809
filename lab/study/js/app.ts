import Fastify, { type FastifyInstance, LogController } from 'fastify'
import type { ServiceBody } from '../service.ts'
import type { Attached } from './attached/attached.ts'
import type { Handler } from './call.ts'
import { handlersOf, observationsOf, type Path } from './handlers.ts'
import { observedHandlers } from './observed.ts'
import type { Settings } from './settings.ts'
import type { Account } from './split.ts'
import { timedObserving, timedTracing } from './timed.ts'
import type { Tracer } from './tracers/tracer.ts'
import type { Model } from './upstream.ts'

const BODY_BYTES = 8 * 1024 * 1024

/** What was done since `begin`. */
export interface Counts {
  requests: number
  recorded: number
}

/** The service: the same program in all arms. Which tracing a request gets, and what is attached, differs. */
export function createApp(
  settings: Settings,
  tracer: Tracer,
  attached: Attached,
  model: Model,
  account: Account,
  counts: Counts,
): FastifyInstance {
  const app = Fastify({
    bodyLimit: BODY_BYTES,
    logger: attached.logger ?? false,
    logController: new LogController({ disableRequestLogging: true }),
  })
  app.addHook('onError', async (_request, _reply, error) => console.error(error))
  const active = handlersOf(settings, attached)
  const { observing } = tracer
  const observe = settings.style === 'observe' && observing !== undefined
  const handlers = { ...active, ...(observe && observedHandlers(observing)) }
  const timed = { ...active, ...(observe && observedHandlers(timedObserving(observing, account))) }

  for (const path of Object.keys(active) as Path[]) {
    app.post<{ Body: ServiceBody }>(path, async ({ body, log }) => {
      counts.requests++
      counts.recorded += observationsOf(path, settings, body)
      const tracing = tracer.forRequest()
      const own = account.next()
      const call = { body, model, log, account: own }
      const answer =
        own === undefined
          ? await (handlers[path] as Handler)({ ...call, tracing })
          : await (timed[path] as Handler)({ ...call, tracing: timedTracing(tracing, own) })
      await tracer.handOver?.(tracing, (run) => (own === undefined ? run() : own.call(run)))
      if (settings.flushEachRequest) {
        // Nobody fails a request for that: what is lost is not delivered.
        const flushed = tracer.flush().catch(() => {})
        await (own?.flush(flushed) ?? flushed)
      }
      return { answer }
    })
  }
  return app
}
