/**
 * The capturing server as a process of its own:
 *
 *   node test/langfuse-server/main.ts [--port 0] [--project pk:sk]… [--latency ms] [--count-only] [--quiet]
 *
 * The first line on stdout is {"url":…,"port":…}, in one piece. GET /__stats answers with counts (see
 * LangfuseServerStats), GET /__requests with a line of numbers each, POST /__latency?ms=5 sets it, POST /__clear
 * forgets. Without --quiet it prints a line per second in which
 * something came. With --count-only it neither decodes nor keeps spans. Ends on SIGTERM and SIGINT.
 */
import { parseArgs } from 'node:util'
import { startLangfuseServer } from './server.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    project: { type: 'string', multiple: true, default: ['pk-lf-test:sk-lf-test'] },
    latency: { type: 'string', default: '0' },
    'count-only': { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
  },
})

const server = await startLangfuseServer({
  port: Number(values.port),
  projects: Object.fromEntries(
    values.project.map((pair) => {
      const colon = pair.indexOf(':')
      if (colon < 1) throw new Error(`--project ${pair}: expected publicKey:secretKey`)
      return [pair.slice(0, colon), pair.slice(colon + 1)]
    }),
  ),
  latencyMs: Number(values.latency),
  countOnly: values['count-only'],
  control: true,
})
console.log(JSON.stringify({ url: server.url, port: server.port }))

if (!values.quiet) {
  let shown = 0
  setInterval(() => {
    if (server.requests.length === shown) return
    shown = server.requests.length
    console.log(JSON.stringify(server.stats()))
  }, 1000).unref()
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void server.close())
}
