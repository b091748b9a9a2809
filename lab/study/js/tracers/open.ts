import { untraced } from '../../../apparatus/tracing.ts'
import type { ServiceRequest } from '../../service.ts'
import type { Settings } from '../settings.ts'
import type { Tracer } from './tracer.ts'

/** Opens what the settings ask for, and loads no other's packages. */
export async function openTracer(settings: Settings, request: ServiceRequest): Promise<Tracer> {
  switch (settings.tracer) {
    case 'langfuse':
      return (await import('./langfuse.ts')).openLangfuse(settings, request.sink)
    case 'offpath':
      return (await import('./offpath.ts')).openOffpath(settings)
    case 'otel':
      return (await import('./otel.ts')).openOtel(request.sink)
    case 'redis':
      if (request.redis === undefined) throw new TypeError('the arm hands over to Redis: where?')
      return (await import('./redis.ts')).openRedis(request.redis)
    case 'file':
      return (await import('./file.ts')).openFile()
    default:
      return { forRequest: () => untraced, flush: async () => {} }
  }
}
