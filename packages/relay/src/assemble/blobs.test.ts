import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DataWriter } from '../store/data-files.ts'
import { KIND, PART } from '../store/layout.ts'
import { Words } from '../store/words.ts'
import { Blobs, type Source } from './blobs.ts'

test('slices that cannot be read at the end of their segment are not looked for afterwards', () => {
  const directory = mkdtempSync(join(tmpdir(), 'offpath-blobs-'))
  const data = new DataWriter(directory, { file: 1, length: 0 }, 1)
  const blobs = new Blobs()
  let isOpen = true
  const source: Source = {
    read: (offset) => {
      if (!isOpen) throw new Error('the segment is closed')
      return offset === 0 ? Buffer.from('begin') : null
    },
  }
  const bytes = Buffer.alloc(0)
  const head = { id: 1, encoding: 1, length: 5 }
  blobs.name(1, 1, false)
  blobs.slice({ ...head, offset: 0, last: false }, 1, bytes, 0, source, data)
  blobs.slice({ ...head, offset: 5, last: true }, 1, bytes, 5, source, data)
  blobs.storeAll(data)
  isOpen = false
  const out = new Words(64)
  out.words.set([3 | (KIND.textParts << 8), 0, 2, PART.hole << 30, 1])
  out.at = 5
  expect(blobs.fill(out, 0, data)).toMatchObject({ bytes: 42, lost: 1 })
  data.close()
  rmSync(directory, { recursive: true })
})
