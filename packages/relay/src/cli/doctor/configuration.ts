import { type LoadedConfig, shownConfig } from '../../config/config.ts'
import { optionOf } from '../../config/options.ts'
import { bytes, duration } from '../format.ts'
import { type Check, ok, warning } from './check.ts'

const NAME = 'configuration'

/** Where it comes from: what is wrong in it was told before. */
export function checkConfiguration({ config, file, origins, warnings }: LoadedConfig): Check[] {
  const values = shownConfig(config)
  return [
    ok(NAME, file === null ? 'there is no offpath.yaml here' : `${file} is read`),
    ...warnings.map((message) => warning(NAME, message, null)),
    ...[...origins].map(([name, origin]) => {
      return ok(NAME, `${name} = ${shown(values[name], optionOf(name).kind)} (${origin})`)
    }),
  ]
}

function shown(value: unknown, kind: string): string {
  if (typeof value === 'number' && kind === 'size') return bytes(value)
  if (typeof value === 'number' && kind === 'duration') return duration(value)
  // In a query there may be a key.
  if (kind === 'url') return String(value).replace(/\?.*/, '?…')
  return value === undefined ? 'nothing' : String(value)
}
