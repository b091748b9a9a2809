import { AsyncLocalStorage } from 'node:async_hooks'
import { type LangfuseSpan, propagateAttributes, startActiveObservation } from '@offpath/sdk'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { watchLoop } from './loop-stall.ts'
import { type Outcome, ok, warning } from './outcome.ts'

/** The root observation of a request, and what its handler reports to it. */
interface RequestTrace {
  readonly root: LangfuseSpan
  /** Aborts when the connection closes before the answer is complete. */
  readonly clientGone: AbortSignal
  /** Runs a function in the request's context: what it observes becomes a child of the root. */
  enter: <T>(fn: () => T) => T
  outcome: Outcome
  output: unknown
  /** Milliseconds spent waiting for the upstream. */
  upstreamMs: number
  /** The root stays open until this has settled. */
  work: Promise<unknown>
}

declare module 'fastify' {
  interface FastifyRequest {
    trace: RequestTrace
  }
}

/**
 * Opens an observation around every request of `app`'s routes, from the first hook until the response
 * has closed. It ends with an `API_REQUEST_COMPLETE` event that splits the request's time. The
 * returned function waits for the observations that are open.
 */
export function traceRequests(app: FastifyInstance, name: string): () => Promise<unknown> {
  const open = new Set<Promise<void>>()

  app.addHook('onRequest', (request, reply, done) => {
    const startedAt = performance.now()
    const stalledMs = watchLoop()
    const gone = new AbortController()

    const closed = new Promise<void>((resolve) => {
      // 'close' comes exactly once, after 'finish' or in its place. Fastify's onResponse hook waits
      // for 'finish', which an aborted request never sees.
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) gone.abort()
        resolve()
      })
    })
    const ended = closed
      .then(() => request.trace.work)
      .catch(() => {})
      .then(() => request.trace.enter(() => endTrace(request.trace, startedAt, stalledMs)))
    open.add(ended)
    void ended.finally(() => open.delete(ended))

    const begin = (root: LangfuseSpan): void => {
      request.trace = {
        root,
        clientGone: gone.signal,
        enter: AsyncLocalStorage.snapshot(),
        outcome: ok,
        output: undefined,
        upstreamMs: 0,
        work: Promise.resolve(),
      }
      done()
    }
    startActiveObservation(name, begin, { endOnExit: false })
  })

  // Node emits the events of a request's body outside the context of the hooks before it, so the
  // context is entered anew once the body is there. The handler runs inside `done`.
  app.addHook('preValidation', (request, _reply, done) => {
    const { trace } = request
    trace.enter(() => {
      trace.root.update({ input: request.body })
      propagateAttributes(callerOf(request), () => {
        trace.enter = AsyncLocalStorage.snapshot()
        done()
      })
    })
  })

  return () => Promise.all(open)
}

function endTrace(trace: RequestTrace, startedAt: number, stalledMs: () => number): void {
  const { root, clientGone, output, outcome } = trace
  const cut = clientGone.aborted && outcome.level !== 'ERROR' && outcome.status !== 499
  const { status, ...said } = cut ? warning(499, 'client closed before the answer ended') : outcome
  root.update({ output, ...said })
  const metadata = {
    status,
    total_ms: tenths(performance.now() - startedAt),
    upstream_ms: tenths(trace.upstreamMs),
    loop_stall_ms: tenths(stalledMs()),
  }
  root.startObservation('API_REQUEST_COMPLETE', { metadata, ...said }, { asType: 'event' })
  root.end()
}

/** User and session, from the body's fields or from the headers that a gateway sets. */
function callerOf({ body, headers }: FastifyRequest): { userId?: string; sessionId?: string } {
  const { user, session_id } = (body ?? {}) as { user?: unknown; session_id?: unknown }
  const userId = user ?? headers['x-user-id']
  const sessionId = session_id ?? headers['x-session-id']
  return {
    ...(typeof userId === 'string' && { userId }),
    ...(typeof sessionId === 'string' && { sessionId }),
  }
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10
}
