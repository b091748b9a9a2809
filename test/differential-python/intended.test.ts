import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { intended } from './intended.ts'

test('docs/langfuse-compatibility.md lists the intended differences of the Python client', () => {
  const page = readFileSync(
    new URL('../../docs/langfuse-compatibility.md', import.meta.url),
    'utf8',
  )
  const section = page.split(/^## /m).find((each) => each.startsWith('Python'))
  const rows = section?.match(/^\| `[^|]*\|[^|]*\|[^|]*\|[^|]*\|$/gm) ?? []
  expect(rows).toEqual(
    intended.map(
      ({ id, what, reason, versions }) =>
        `| \`${id}\` | ${versions.length === 3 ? 'all' : versions.join(', ')} | ${what} | ${reason} |`,
    ),
  )
})
