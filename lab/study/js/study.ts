import { createRequire } from 'node:module'
import { join } from 'node:path'
import { startNode } from '../../apparatus/processes.ts'
import type { Language } from '../run.ts'
import { JS_ARMS } from './arms.ts'
import { profiler } from './profiler.ts'

const PACKAGES = [
  'fastify',
  '@langfuse/tracing',
  '@langfuse/otel',
  '@opentelemetry/sdk-trace-base',
  '@opentelemetry/exporter-trace-otlp-proto',
]
const require = createRequire(import.meta.url)

export const JS: Language = {
  study: 'js',
  arms: JS_ARMS,
  quickArms: ['langfuse', 'flush-at-10', 'offpath'],
  async prepare() {
    return {
      versions: {
        node: process.versions.node,
        ...Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)])),
      },
      startService: (arm, request, env) =>
        startNode(
          join(import.meta.dirname, 'service.child.ts'),
          { ...request, settings: arm.settings },
          env,
        ),
      profiler: () => profiler(),
    }
  },
}

function versionOf(name: string): string {
  return (require(`${name}/package.json`) as { version: string }).version
}
