// Dead letters of a pool: with a configuration of one of its relays, or with --redis-url.
import type { LoadedConfig } from '../../config/config.ts'
import { type Config, flagOf } from '../../config/options.ts'
import { configuredExporters, redisConnection } from '../../configured-exporters.ts'
import { SendError } from '../../export/http.ts'
import { PoolDead } from '../../operations/pool-dead.ts'
import { connectRedis } from '../../redis/connection.ts'

/** An answer may be some megabytes. */
const STALL_MS = 10_000

/** Whether dead letters are in Redis. One that forwards has its own, in its store: of the pool's it has to be asked. */
export function isOfPool({ config, origins }: LoadedConfig): boolean {
  return config['redis.receive'] || origins.get('redis.url') === flagOf('redis.url')
}

/** @throws Error `OFFPATH_REDIS`: Redis does not answer, or refuses; `OFFPATH_OPERATION` */
export async function withPoolDead<T>(
  config: Config,
  act: (dead: PoolDead) => Promise<T>,
): Promise<T> {
  const connection = connectRedis({ ...redisConnection(config), stallMs: STALL_MS })
  const dead = new PoolDead({
    connection,
    stream: config['redis.stream'],
    maxLength: config['redis.max-length'],
    exporters: configuredExporters(config).map(({ name }) => name),
  })
  try {
    return await act(dead)
  } catch (error) {
    if (!(error instanceof SendError)) throw error
    const message = `${config['redis.url']?.shown}: ${error.message}`
    throw Object.assign(new Error(message, { cause: error }), { code: 'OFFPATH_REDIS' })
  } finally {
    await connection.close()
  }
}
