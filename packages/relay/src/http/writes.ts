import type { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { Operations } from '../operations/operations.ts'
import { OperationError } from '../operations/requests.ts'
import { WRITE } from './guard.ts'
import { errorBody } from './query.ts'

/** 10 000 ids of dead letters, and some room. */
const MAX_BODY_BYTES = 512 * 1024

/** What changes something: POST with JSON (guard.ts sees to both), answered with what was done. */
export function addWrites(app: Hono, operations: Operations): void {
  const limit = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: (c) =>
      c.json(errorBody('too_large', `the body is longer than ${MAX_BODY_BYTES} bytes`), 413),
  })
  for (const name of Object.keys(WRITE) as (keyof Operations)[]) {
    app.post(WRITE[name], limit, async (c) => {
      let body: unknown
      try {
        body = await c.req.json()
      } catch {
        return c.json(errorBody('bad_request', 'the body is no JSON'), 400)
      }
      try {
        return c.json(await operations[name](body))
      } catch (error) {
        if (!(error instanceof OperationError)) throw error
        return c.json(errorBody('bad_request', error.message), 400)
      }
    })
  }
}
