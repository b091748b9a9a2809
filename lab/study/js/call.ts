import type { FastifyBaseLogger } from 'fastify'
import type { Tracing } from '../../apparatus/tracing.ts'
import type { ServiceBody } from '../service.ts'
import type { Account } from './split.ts'
import type { Model } from './upstream.ts'

/** One request. */
export interface Call {
  readonly body: ServiceBody
  readonly tracing: Tracing
  readonly model: Model
  readonly log: FastifyBaseLogger
  /** Of those that are timed. */
  readonly account: Account | undefined
}

/** Gives the answer. */
export type Handler = (call: Call) => Promise<string>
