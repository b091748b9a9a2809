import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import type { Observation, Tracing } from '../../../apparatus/tracing.ts'

/** What a team writes by hand: an observation as a plain object. */
export interface Written {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** Nanoseconds since 1970. */
  readonly startTimeUnixNano: string
  endTimeUnixNano: string
  readonly attributes: Record<string, unknown>
}

const active = new AsyncLocalStorage<Written>()

/** Gives each observation, once it has ended, to `ended`. */
export function tracingByHand(ended: (observation: Written) => void): Tracing {
  function start(
    parent: Written | undefined,
    name: string,
    attributes: object | undefined,
    type: string | undefined,
  ): { written: Written; observation: Observation } {
    const written: Written = {
      traceId: parent?.traceId ?? randomBytes(16).toString('hex'),
      spanId: randomBytes(8).toString('hex'),
      ...(parent !== undefined && { parentSpanId: parent.spanId }),
      name,
      startTimeUnixNano: now(),
      endTimeUnixNano: '',
      attributes: { type: type ?? 'span', ...attributes },
    }
    const observation: Observation = {
      update(more) {
        Object.assign(written.attributes, more)
        return observation
      },
      end() {
        written.endTimeUnixNano = now()
        ended(written)
      },
      startObservation: (child, more, options) =>
        start(written, child, more, options?.asType).observation,
    }
    return { written, observation }
  }
  return {
    startObservation: (name, attributes, options) =>
      start(active.getStore(), name, attributes, options?.asType).observation,
    async startActiveObservation(name, run, options) {
      const { written, observation } = start(active.getStore(), name, undefined, options?.asType)
      try {
        return await active.run(written, run, observation)
      } finally {
        observation.end()
      }
    },
  }
}

function now(): string {
  return String(Math.round((performance.timeOrigin + performance.now()) * 1000) * 1000)
}
