import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readSegment } from './read.ts'
import { VECTORS } from './vectors.ts'

const file = (name: string) => readFileSync(join(import.meta.dirname, name))

test.each(Object.keys(VECTORS))('the relay reads %s as stated', (name) => {
  const bytes = file(`${name}.seg`)
  expect(readSegment(bytes)).toEqual(JSON.parse(file(`${name}.json`).toString()))
  // The plain writer, a second implementation, still writes the same.
  expect(VECTORS[name]?.equals(bytes)).toBe(true)
})
