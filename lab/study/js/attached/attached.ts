import type { FastifyBaseLogger, FastifyServerOptions } from 'fastify'
import type { Call } from '../call.ts'
import type { Settings } from '../settings.ts'
import type { Account } from '../split.ts'
import type { Tracer } from '../tracers/tracer.ts'

/** What services use beside, where the arm asks for it. */
export interface Attached {
  /** Of Fastify. */
  readonly logger?: FastifyServerOptions['logger']
  readonly writeLog?: (log: FastifyBaseLogger, user: string, account: Account | undefined) => void
  readonly prompt?: (account: Account | undefined) => Promise<unknown>
  /** Asks the model, and records that. */
  readonly generate?: (call: Call) => Promise<string>
  /** WAV as the SDK wants bytes in an input. */
  readonly media?: (wav: Buffer) => unknown
}

/** Loads what the settings ask for. */
export async function attach(settings: Settings, tracer: Tracer, sink: string): Promise<Attached> {
  const traced = settings.tracer !== undefined
  const media = settings.media === 'bytes' ? { media: (await import('./media.ts')).wavOf } : {}
  switch (settings.attached) {
    case 'logs':
      return (await import('./logs.ts')).attachLogs(tracer.observing)
    case 'prompt':
      return (await import('./prompt.ts')).attachPrompt(sink)
    case 'langchain':
      return { generate: (await import('./langchain.ts')).generateWith(traced) }
    default:
      return media
  }
}
