// Tables in the documents against the sources: what is missing, and what is no longer there.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

const sources = globSync('packages/*/src/**/*.ts', { cwd: root })
  .filter((file) => !/\.(test|fixture|child)\.ts$/.test(file))
  .map(read)

const found = (texts: readonly string[], pattern: RegExp): string[] => {
  const all = texts.flatMap((text) => [...text.matchAll(pattern)].map(([, name]) => name as string))
  return [...new Set(all)].sort()
}

test('docs/errors.md has every code, and no other', () => {
  // Names of variables stand nowhere in quotes: they are made from those of options.
  const codes = found(sources, /'(OFFPATH_[A-Z_]+)'/g)
  expect(codes.length).toBeGreaterThan(10)
  // In Python those of its own are constants.
  const python = globSync('clients/python/src/**/*.py', { cwd: root }).map(read)
  const all = [...codes, ...found(python, /^[A-Z_]+ = "(OFFPATH_[A-Z_]+)"$/gm)].sort()
  expect(found([read('docs/errors.md')], /^\| `(OFFPATH_[A-Z_]+)`/gm)).toEqual(all)
})

test('docs/http-api.md has every code of the API, and no other', () => {
  const http = globSync('packages/relay/src/http/*.ts', { cwd: root }).map(read)
  const codes = found(http, /(?:errorBody\(\s*|code: |giveUp\(\d+, )'([a-z_]+)'/g)
  const table = read('docs/http-api.md').split('## Errors')[1]?.split('## Metrics')[0] ?? ''
  const rows = table.split('\n').filter((line) => /^\| \d/.test(line))
  const told = rows.flatMap((row) => found([row.split('|')[2] ?? ''], /`([a-z_]+)`/g)).sort()
  expect(told).toEqual(codes)
})

test.each(
  globSync(['*.md', 'docs/*.md', 'examples/*/*.md', 'packages/*/README.md'], { cwd: root }),
)('links in %s lead somewhere', (file) => {
  const links = found([read(file)], /\]\(([^)#]+)(?:#[^)]*)?\)/g)
  const missing = links
    .filter((link) => !link.includes('://'))
    .filter((link) => !existsSync(join(root, dirname(file), link)))
  expect(missing).toEqual([])
})

test('docs/faults.md names tests that there are, and every fault of a soak', () => {
  const faults = read('docs/faults.md')
  const named = [...faults.matchAll(/\]\(\.\.\/([^)]+\.ts)\): (\*[^*]+\*(?:, \*[^*]+\*)*)/g)]
  expect(named.length).toBeGreaterThan(20)
  const missing = named.flatMap(([, file = '', titles = '']) => {
    const source = read(file)
    return found([titles], /\*([^*]+)\*/g).filter((title) => !source.includes(title))
  })
  expect(missing).toEqual([])
  const places = 'application|spool|store|relay|pool|redis|network|server|clock'
  const mixed = found([read('lab/chaos/soak/faults.ts')], RegExp(`'((?:${places})-[\\w-]+)'`, 'g'))
  expect(mixed.length).toBeGreaterThan(25)
  expect(mixed.filter((name) => !faults.includes(`\`${name}\``))).toEqual([])
  const told = found([faults], RegExp(`\`((?:${places})-[\\w-]+)\``, 'g'))
  // A program has such a name, too.
  expect(told.filter((name) => ![...mixed, 'redis-server'].includes(name))).toEqual([])
})
