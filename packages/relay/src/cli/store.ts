import type { Config } from '../config/options.ts'
import { StoreReader } from '../store/read.ts'

/** @throws Error `OFFPATH_NO_STORE` when nothing was stored yet */
export function openStore(config: Config): StoreReader {
  const dir = config['store.dir']
  const reader = StoreReader.open(dir)
  if (reader !== null) return reader
  const message = `there is no store in ${dir} yet: start the relay with \`offpath up\`, or name another one with --store-dir`
  throw Object.assign(new Error(message), { code: 'OFFPATH_NO_STORE' })
}
