import type { Config } from '../config/options.ts'
import type { Call } from './call.ts'

// npm and npx run us in a shell of theirs, and tell so by this variable.
const { npm_command: npmCommand } = process.env
const PARENT_LOOK_MS = 500

/** A command of ours as it can be typed where this one was, for the same store. `words` follow its name. */
export function commandLine(
  { loaded, flags }: Pick<Call, 'loaded' | 'flags'>,
  name: string,
  ...words: readonly string[]
): string {
  const program = npmCommand === 'exec' ? 'npx offpath' : 'offpath'
  const file = flags.get('config')
  const config = file === undefined ? [] : ['--config', shellWord(file)]
  return [program, name, ...words, ...config, ...ownStore(loaded.config, loaded.origins)].join(' ')
}

function ownStore(config: Config, origins: Call['loaded']['origins']): string[] {
  const isFlag = origins.get('store.dir')?.startsWith('--') ?? false
  return isFlag ? ['--store-dir', shellWord(config['store.dir'])] : []
}

export function shellWord(text: string): string {
  return /^[\w./~:-]+$/.test(text) ? text : JSON.stringify(text)
}

/**
 * The first SIGINT or SIGTERM, or `parent`: npm passes a SIGTERM to its shell alone, which dies of it without a word
 * to us.
 */
export function nextSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve(signal))
  if (npmCommand === undefined) return promise
  const parent = process.ppid
  const look = setInterval(() => process.ppid !== parent && resolve('parent'), PARENT_LOOK_MS)
  look.unref()
  return promise.finally(() => clearInterval(look))
}
