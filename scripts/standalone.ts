import { globSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'

type Bundle = Readonly<Record<string, { readonly moduleIds?: readonly string[] }>>

/** A rolldown plugin, as far as it is one. */
interface Plugin {
  readonly name: string
  generateBundle(
    this: { emitFile(file: { type: 'asset'; fileName: string; source: string }): string },
    options: unknown,
    bundle: Bundle,
  ): void
}

const PACKAGES = `${sep}node_modules${sep}`

/**
 * Lets a bundle live in a folder of its own, outside npm: with a package.json, by which it is ESM and knows its version,
 * and with the licences of the packages in it, as those ask for.
 */
export function standalone(folder: string): Plugin {
  return {
    name: 'standalone',
    generateBundle(_, bundle) {
      const { name, version, type } = manifestOf(folder)
      const manifest = { name, version, type, exports: { './package.json': './package.json' } }
      this.emitFile({ type: 'asset', fileName: 'package.json', source: JSON.stringify(manifest) })

      const licences = packagesIn(bundle).map(licenceOf).join('\n')
      const [file] = Object.keys(bundle)
      if (licences !== '') {
        this.emitFile({ type: 'asset', fileName: `${file}.licences.txt`, source: licences })
      }
    },
  }
}

/** Folders of the npm packages that a bundle has modules of. */
function packagesIn(bundle: Bundle): string[] {
  const ids = Object.values(bundle).flatMap(({ moduleIds = [] }) => moduleIds)
  const folders = ids.flatMap((id) => {
    const at = id.lastIndexOf(PACKAGES) + PACKAGES.length
    if (at < PACKAGES.length) return []
    const [scope = '', name = ''] = id.slice(at).split(sep)
    return [id.slice(0, at) + (scope.startsWith('@') ? join(scope, name) : scope)]
  })
  return [...new Set(folders)].sort()
}

/** Packages under the MIT licence that come without its text, and what their repositories put above it. */
const COPYRIGHTS: Readonly<Record<string, string>> = {
  '@redis/client': 'Copyright (c) 2022-2025, Redis, inc.',
}

/** @throws for a package without a licence: it may not be bundled */
function licenceOf(folder: string): string {
  const { name, version } = manifestOf(folder)
  const [file] = globSync('{LICENSE,LICENCE,license,licence}*', { cwd: folder })
  const text = file === undefined ? mitLicence(name) : readFileSync(join(folder, file), 'utf8')
  return `── ${name} ${version}\n\n${text.trim()}\n`
}

/** Ours is the same text. */
function mitLicence(name: string): string {
  const copyright = COPYRIGHTS[name]
  if (copyright === undefined) throw new Error(`${name} has no licence file`)
  const ours = readFileSync(join(import.meta.dirname, '../LICENSE'), 'utf8')
  return ours.replace(/^Copyright .*$/m, copyright)
}

function manifestOf(folder: string): Record<'name' | 'version' | 'type', string> {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}
