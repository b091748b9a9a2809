import type { Hono } from 'hono'
import { TooManyError } from '../otlp/message.ts'
import { BusyError, type Intake } from '../receivers/otlp/intake.ts'
import { importLines, MAX_LINE_BYTES } from '../receivers/otlp/lines.ts'
import { type Bodies, BodyError } from './body.ts'
import { IMPORT_PATH } from './guard.ts'
import { errorBody } from './query.ts'

const RETRY_AFTER_SECONDS = '1'

/** OTLP JSON lines into the store; `?deliver=true`: exporters get them too. For `offpath import`. */
export function addImport(app: Hono, intake: Intake, bodies: Bodies): void {
  app.post(IMPORT_PATH, async (c) => {
    const { deliver = 'false', ...others } = c.req.query()
    if (Object.keys(others).length > 0 || (deliver !== 'true' && deliver !== 'false')) {
      const message = 'the only parameter is deliver, true or false'
      return c.json(errorBody('bad_request', message), 400)
    }
    const isDelivered = deliver === 'true'
    try {
      const busy = intake.busy(isDelivered)
      if (busy !== null) throw busy
      const imported = await bodies.withBody(c.req.raw, MAX_LINE_BYTES, (body) =>
        importLines(intake, body, isDelivered),
      )
      return c.json(imported)
    } catch (error) {
      if (error instanceof BusyError) {
        c.header('retry-after', RETRY_AFTER_SECONDS)
        return c.json(errorBody('busy', error.message), 503)
      }
      if (error instanceof TooManyError) {
        return c.json(errorBody('too_large', error.message), 413)
      }
      if (!(error instanceof BodyError)) throw error
      const isBusy = error.status === 429 || error.status === 503
      if (isBusy) c.header('retry-after', RETRY_AFTER_SECONDS)
      const code = error.status === 413 ? 'too_large' : isBusy ? 'busy' : 'bad_request'
      return c.json(errorBody(code, error.message), error.status)
    }
  })
}
