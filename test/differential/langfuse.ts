import { LangfuseSpanProcessor } from '@langfuse/otel'
import { defaultResource, detectResources, envDetector } from '@opentelemetry/resources'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'

let processor: LangfuseSpanProcessor | undefined

/** Sets the real SDK up as its documentation says, with what NodeSDK would read of the environment. */
export function start(): void {
  if (process.env.OTEL_SDK_DISABLED === 'true') return
  processor = new LangfuseSpanProcessor()
  new NodeTracerProvider({
    resource: defaultResource().merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [processor],
  }).register()
}

export async function deliver(): Promise<void> {
  await processor?.forceFlush()
}
