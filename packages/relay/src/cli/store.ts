import type { Config } from '../config/options.ts'
import { deadStreamOf } from '../redis/streams.ts'
import { StoreReader } from '../store/read.ts'

/** @throws Error `OFFPATH_NO_STORE` when nothing was stored yet, or never is */
export function openStore(config: Config): StoreReader {
  if (config['redis.receive']) {
    const dead = deadStreamOf(config['redis.stream'])
    const message = `a relay of a pool (redis.receive) keeps no traces: ask beside the application; its dead letters are in the stream ${dead}: \`offpath dead ls\` lists them`
    throw Object.assign(new Error(message), { code: 'OFFPATH_NO_STORE' })
  }
  const dir = config['store.dir']
  const reader = StoreReader.open(dir)
  if (reader !== null) return reader
  const message = `there is no store in ${dir} yet: start the relay with \`offpath up\`, or name another one with --store-dir`
  throw Object.assign(new Error(message), { code: 'OFFPATH_NO_STORE' })
}
