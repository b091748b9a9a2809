// Files that the relay hands back and the recorder takes over: nothing of an earlier segment may come up in a later
// one, and nothing may be taken for complete before it is.
import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Recorder } from '../../../../sdk/src/recorder/recorder.ts'
import { SpoolWriter } from '../../../../sdk/src/spool/writer.ts'
import { Store } from '../../store/store.ts'
import { SpoolReceiver } from './receiver.ts'

let directory: string
let store: Store
let receiver: SpoolReceiver
const spool = () => join(directory, 'spool')

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'offpath-recycle-'))
  store = new Store(join(directory, 'store'))
  store.exporters(['test'])
  receiver = openReceiver()
})
afterEach(() => {
  receiver.stop()
  store.close()
  rmSync(directory, { recursive: true, force: true })
})

function openReceiver(): SpoolReceiver {
  const directories = [spool(), join(directory, 'disk')]
  return new SpoolReceiver({ directories, store, paused: () => false, log: () => {} })
}

function openRecorder(): { recorder: Recorder; writer: SpoolWriter } {
  const writer = new SpoolWriter({
    tiers: [{ directory: spool(), capBytes: 16 * 1024 * 1024, crc: false }],
    thread: 0,
    heartbeatSeconds: 10,
    describe: () => ({
      service: 'test',
      environment: null,
      release: null,
      sdk: { name: 'test', version: '0' },
      language: 'javascript',
      resource: {},
    }),
    warn: (message) => {
      throw new Error(message)
    },
  })
  const options = {
    sampleRate: 1,
    durable: 'turn',
    maxValueBytes: 1 << 20,
    maxDepth: 20,
    maxNodes: 1000,
  }
  return { recorder: new Recorder(options as never, writer, () => {}), writer }
}

/** Records until about `bytes` are in the spool; the names go on from `from`. */
function fill(recorder: Recorder, bytes: number, from: number): number {
  let n = from
  for (let written = 0; written < bytes; written += 20_000) {
    const input = `${n} ${'lorem ipsum '.repeat(1600)}`
    recorder.end(recorder.start(null, null, `o-${++n}`, 0, 0, { input }, undefined), undefined)
    recorder.flush()
  }
  return n
}

function drain(): void {
  while (receiver.poll());
}

function names(): string[] {
  return store
    .nextChunks('test', 0, Number.POSITIVE_INFINITY)
    .flatMap((chunk) => store.readSpans(chunk).map((span) => span.name))
}
const expected = (count: number) => Array.from({ length: count }, (_, n) => `o-${n + 1}`)
const files = (ending: string) => readdirSync(spool()).filter((name) => name.endsWith(ending))

test('what a later segment holds is read, and nothing of the earlier one', () => {
  const { recorder } = openRecorder()
  let n = 0
  for (let round = 0; round < 12; round++) {
    n = fill(recorder, 700_000, n)
    drain()
  }
  expect(files('.free').length).toBeGreaterThan(0)
  recorder.close()
  drain()
  expect(names()).toEqual(expected(n))
  expect(store.counters()).toMatchObject({ accepted: n })
  expect(store.counters().corruptFrames ?? 0).toBe(0)
  expect(store.counters().tornTails ?? 0).toBe(0)
})

test('a restart in a recycled segment reads on where it was', () => {
  const { recorder } = openRecorder()
  let n = 0
  for (let round = 0; round < 9; round++) {
    n = fill(recorder, 650_000, n)
    drain()
    receiver.stop()
    receiver = openReceiver()
    // Stopping gives the free files back; the next round makes new ones.
    n = fill(recorder, 650_000, n)
    drain()
  }
  recorder.close()
  drain()
  expect(names().sort()).toEqual(expected(n).sort())
})

test('half a frame over an old one is waited for, not taken', () => {
  const { recorder, writer } = openRecorder()
  let n = 0
  const round = () => {
    n = fill(recorder, 100_000, n)
    drain()
  }
  const recycled = () => files('.seg').length === 1 && (writer.place?.segment ?? 0) > 2
  for (let i = 0; i < 60 && !recycled(); i++) round()
  expect(recycled()).toBe(true)
  const place = writer.place as { segment: number; offset: number }
  const path = join(spool(), files('.seg')[0] as string)
  const before = names().length
  // The beginning of a frame, as a reader may see it while its writer is at it: head there, payload and footer not.
  const fd = openSync(path, 'r+')
  const nonce = Buffer.alloc(8)
  readSync(fd, nonce, 0, 8, 16)
  const head = Buffer.alloc(44)
  head.write('OPF1', 0, 'latin1')
  nonce.copy(head, 4)
  head.writeUInt32LE(4096, 12)
  head[20] = 1
  writeSync(fd, head, 0, head.length, place.offset)
  drain()
  expect(names().length).toBe(before)
  expect(store.counters().corruptFrames ?? 0).toBe(0)
  // The writer writes the frame itself.
  n = fill(recorder, 100_000, n)
  recorder.close()
  drain()
  closeSync(fd)
  expect(names()).toEqual(expected(n))
})
