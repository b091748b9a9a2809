import type { Hono } from 'hono'
import type { Intake } from '../receivers/otlp/intake.ts'
import { importLines, MAX_LINE_BYTES } from '../receivers/otlp/lines.ts'
import { type Bodies, refusalOf } from './body.ts'
import { IMPORT_PATH } from './guard.ts'
import { errorBody } from './query.ts'

const RETRY_AFTER_SECONDS = '1'
const CODES = {
  400: 'bad_request',
  413: 'too_large',
  415: 'wrong_type',
  429: 'busy',
  503: 'busy',
} as const

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
      const refusal = refusalOf(error)
      if (refusal === null) throw error
      const { status, message } = refusal
      if (status === 429 || status === 503) c.header('retry-after', RETRY_AFTER_SECONDS)
      return c.json(errorBody(CODES[status], message), status)
    }
  })
}
