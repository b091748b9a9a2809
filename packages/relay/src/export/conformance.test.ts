import { conformsAsExporter } from './conformance.ts'
import { langfuseExporter, otlpExporter } from './exporters.ts'

conformsAsExporter({
  name: 'langfuse',
  exporterOf: (server) =>
    langfuseExporter({
      baseUrl: new URL(server.url),
      keys: { publicKey: 'pk-lf-test', secretKey: 'sk-lf-test' },
      projects: {},
    }),
})

conformsAsExporter({
  name: 'otlp',
  exporterOf: (server) =>
    otlpExporter({
      url: new URL(server.otlpUrl),
      headers: { authorization: 'Bearer something-secret', 'x-tenant': '1' },
    }),
})
