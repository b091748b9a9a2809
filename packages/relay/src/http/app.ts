import { createHash, timingSafeEqual } from 'node:crypto'
import { Hono } from 'hono'
import type { Operations } from '../operations/operations.ts'
import type { Intake } from '../receivers/otlp/intake.ts'
import { deadKeyOf } from '../store/dead-letters.ts'
import type { Bodies } from './body.ts'
import { IMPORT_PATH, OTLP_PATHS, WRITE } from './guard.ts'
import { addImport } from './import.ts'
import { addOtlp, basicOf, type OtlpReceiver, statusAnswer } from './otlp.ts'
import { type Answer, deadQuery, errorBody, type Query, tracesQuery } from './query.ts'
import { addWrites } from './writes.ts'

/** What the API answers from. */
export interface ApiSources {
  ask(query: Query): Promise<Answer>
  /** Of /api/stats. */
  stats(): Promise<object>
  health(): { readonly ok: boolean }
  /** Prometheus text. */
  metrics(): Promise<{ readonly type: string; readonly text: string }>
  /** An answer: there are none, and why. */
  readonly operations: Operations | Answer
  /** A text: no spans are received by OTLP, and why. */
  readonly otlp: OtlpReceiver | string
  /** Where `offpath import` brings spans. An answer: nowhere, and why. */
  readonly imports: { readonly intake: Intake; readonly bodies: Bodies } | Answer
  /** Undefined: none is asked for. */
  readonly token: string | undefined
  onError(error: Error): void
}

/** The JSON API; docs of its shapes are in shapes.ts. */
export function createApp(sources: ApiSources): Hono {
  const app = new Hono()
  const { token } = sources

  app.get('/health', (c) => {
    const health = sources.health()
    return c.json(health, health.ok ? 200 : 503)
  })

  if (token !== undefined) {
    const expected = digest(token)
    app.use(async (c, next) => {
      // Digests, so that the comparison takes the same time whatever the length.
      const given = /^bearer +(.*)$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? ''
      if (timingSafeEqual(digest(given), expected)) return next()
      if (OTLP_PATHS.includes(c.req.path)) {
        // Langfuse's SDKs send two keys: the secret one is the token.
        const [, password = ''] = basicOf(c) ?? []
        if (timingSafeEqual(digest(password), expected)) return next()
        c.header('www-authenticate', 'Bearer realm="offpath"')
        return statusAnswer(c, 401, 'a bearer token is needed (http.token)')
      }
      c.header('www-authenticate', 'Bearer realm="offpath"')
      return c.json(errorBody('unauthorized', 'a bearer token is needed (http.token)'), 401)
    })
  }

  app.get('/api/traces', async (c) => {
    const query = tracesQuery(c.req.queries())
    if (typeof query === 'string') return c.json(errorBody('bad_request', query), 400)
    return send(await sources.ask(query))
  })

  app.get('/api/traces/:id', async (c) => {
    const id = c.req.param('id').toLowerCase()
    if (!/^[0-9a-f]{1,32}$/.test(id)) {
      return c.json(
        errorBody('bad_request', 'a trace id is 32 hexadecimal digits, or their beginning'),
        400,
      )
    }
    return send(await sources.ask({ type: 'trace', id }))
  })

  app.get('/api/dead', async (c) => {
    const query = deadQuery(c.req.queries())
    if (typeof query === 'string') return c.json(errorBody('bad_request', query), 400)
    return send(await sources.ask(query))
  })

  app.get('/api/dead/:id', async (c) => {
    const key = deadKeyOf(c.req.param('id'))
    if (key !== undefined) return send(await sources.ask({ type: 'deadLetter', key }))
    const message = "a dead letter's id is its kind and number, such as span:12"
    return c.json(errorBody('bad_request', message), 400)
  })

  const { operations } = sources
  if (!('status' in operations)) addWrites(app, operations)
  else for (const path of Object.values(WRITE)) app.post(path, () => send(operations))

  addOtlp(app, sources.otlp)
  const { imports } = sources
  if (!('status' in imports)) addImport(app, imports.intake, imports.bodies)
  else app.post(IMPORT_PATH, () => send(imports))

  app.get('/api/stats', async (c) => c.json(await sources.stats()))

  app.get('/metrics', async () => {
    const { type, text } = await sources.metrics()
    return new Response(text, { headers: { 'content-type': type } })
  })

  app.notFound((c) => c.json(errorBody('not_found', 'no such resource'), 404))
  app.onError((error, c) => {
    sources.onError(error)
    return c.json(errorBody('internal', 'the relay failed to answer; its log says why'), 500)
  })
  return app
}

function send({ status, body }: Answer): Response {
  return new Response(body, { status, headers: { 'content-type': 'application/json' } })
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
