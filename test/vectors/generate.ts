// `node --conditions=offpath-source test/vectors/generate.ts`: writes the vectors and what the relay reads in them.
// Look at the difference before you commit it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSegment } from './read.ts'
import { VECTORS } from './vectors.ts'

for (const [name, bytes] of Object.entries(VECTORS)) {
  writeFileSync(join(import.meta.dirname, `${name}.seg`), bytes)
  const content = JSON.stringify(readSegment(bytes), null, 2)
  writeFileSync(join(import.meta.dirname, `${name}.json`), `${content}\n`)
}
