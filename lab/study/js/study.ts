import { readFileSync } from 'node:fs'
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
  '@langfuse/client',
  '@langfuse/langchain',
  '@langchain/core',
  'redis',
]
const INSTALLED = join(import.meta.dirname, '..', '..', '..', 'node_modules')

export const JS: Language = {
  study: 'js',
  arms: JS_ARMS,
  quickArms: ['langfuse', 'langfuse-flush-10', 'offpath'],
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

// Not by require: packages need not export their package.json.
function versionOf(name: string): string {
  const text = readFileSync(join(INSTALLED, name, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
