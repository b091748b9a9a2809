import { afterAll, beforeAll } from 'vitest'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import { type RedisServer, startRedisServer } from '../testing/redis-server.ts'
import { conformsAsExporter } from './conformance.ts'
import { type Exporter, langfuseExporter, otlpExporter } from './exporters.ts'
import { conformsOverHttp } from './http-conformance.ts'
import { httpPeer } from './http-peer.ts'
import { type RedisProxy, redisPeer, startProxy } from './redis-peer.ts'

const overHttp: readonly [string, (server: LangfuseServer) => Exporter][] = [
  [
    'langfuse',
    (server) =>
      langfuseExporter({
        baseUrl: new URL(server.url),
        keys: { publicKey: 'pk-lf-test', secretKey: 'sk-lf-test' },
        projects: {},
      }),
  ],
  [
    'otlp',
    (server) =>
      otlpExporter({
        url: new URL(server.otlpUrl),
        headers: { authorization: 'Bearer something-secret', 'x-tenant': '1' },
      }),
  ],
]

for (const [name, exporterOf] of overHttp) {
  conformsAsExporter({ name, peerOf: (server) => httpPeer(server, exporterOf(server)) })
  conformsOverHttp({ name, exporterOf })
}

let redis: RedisServer
let proxy: RedisProxy
beforeAll(async () => {
  redis = await startRedisServer()
  proxy = await startProxy(redis.port)
  // The user that it connects as.
  await redisPeer(redis, proxy).trouble(null)
})
afterAll(async () => {
  await proxy.close()
  await redis.close()
})
conformsAsExporter({ name: 'redis', peerOf: () => redisPeer(redis, proxy) })
