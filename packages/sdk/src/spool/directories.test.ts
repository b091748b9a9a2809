import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { expect, onTestFinished, test, vi } from 'vitest'
import { mount } from '../testing/mount.ts'
import {
  allSegmentsIn,
  contentOf,
  openSpool,
  segmentsIn,
  temporaryDirectory,
} from '../testing/spool-files.ts'

const MB = 1024 * 1024
const isRoot = process.getuid?.() === 0

/** A write that takes long, as on a busy machine, would stop recording for a second. */
function withoutSlowWrites(): void {
  const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
  onTestFinished(() => clock.mockRestore())
}

/** Records one observation into the directory as memory tier, and says where it went. */
function recordInto(spoolDir: string) {
  const { disk, recorder, warnings } = openSpool({ spoolDir })
  recorder.start(null, null, 'first', 0, 0, undefined, undefined)
  recorder.flush()
  recorder.start(null, null, 'second', 0, 0, undefined, undefined)
  recorder.close()
  expect(recorder.stats().lost).toMatchObject({ no_spool: 0, write_failed: 0, spool_full: 0 })
  return {
    disk,
    warnings,
    names: (from: string) => contentOf(from).observations.map((o) => o.name),
  }
}

test('a missing directory is made, with its parents', () => {
  const base = temporaryDirectory()
  const { names, warnings } = recordInto(join(base, 'a', 'b'))
  expect(names(join(base, 'a', 'b'))).toEqual(['first', 'second'])
  expect(statSync(join(base, 'a')).mode & 0o777).toBe(0o700)
  expect(warnings).toEqual([])
})

test.skipIf(!isRoot)("another user's directory is refused (only root can give one away)", () => {
  const directory = join(temporaryDirectory(), 'theirs')
  mkdirSync(directory)
  chownSync(directory, 12_345, 12_345)
  const { disk, names, warnings } = recordInto(directory)
  expect(readdirSync(directory)).toEqual([])
  expect(names(disk)).toEqual(['first', 'second'])
  expect(warnings).toEqual([expect.stringContaining('belongs to user 12345, not to 0')])
})

test('a link is refused, also with a slash behind it', () => {
  const base = temporaryDirectory()
  const target = join(base, 'target')
  mkdirSync(target)
  symlinkSync(target, join(base, 'link'))
  for (const directory of [join(base, 'link'), `${join(base, 'link')}/`]) {
    const { disk, names, warnings } = recordInto(directory)
    expect(readdirSync(target)).toEqual([])
    expect(names(disk)).toEqual(['first', 'second'])
    expect(warnings).toEqual([expect.stringContaining('is not a directory')])
  }
})

test.each(['a dangling link', 'a file', 'below a file'])('%s is refused', (what) => {
  const base = temporaryDirectory()
  const path = join(base, 'spool')
  if (what === 'a dangling link') symlinkSync(join(base, 'nowhere'), path)
  else writeFileSync(path, '')
  const { disk, names, warnings } = recordInto(what === 'below a file' ? join(path, 'x') : path)
  expect(names(disk)).toEqual(['first', 'second'])
  expect(warnings).toEqual([expect.stringContaining('cannot write to the spool')])
})

test.each([0o777, 0o1777])(
  'a directory of mode %o that all can write to is refused, and left as it is',
  (mode) => {
    const directory = join(temporaryDirectory(), 'open')
    mkdirSync(directory)
    chmodSync(directory, mode)
    const { disk, names, warnings } = recordInto(directory)
    expect(statSync(directory).mode & 0o7777).toBe(mode)
    expect(readdirSync(directory)).toEqual([])
    expect(names(disk)).toEqual(['first', 'second'])
    expect(warnings).toEqual([
      expect.stringContaining(
        `spool directory ${directory} can be written to by all users (mode ${mode.toString(8)}): ` +
          `name a directory in it, such as ${directory}/offpath, or chmod 0700 it`,
      ),
    ])
  },
)

test.skipIf(process.platform !== 'linux')(
  'where mkdir finds no parent that is there, it ends in an error',
  () => {
    // In a process of its own: one that hangs can't be stopped from within.
    const { stdout, status } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, 'record.child.ts'), '/proc/offpath'],
      { encoding: 'utf8', timeout: 8000 },
    )
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ observations: 200, lost: { no_spool: 200 } })
  },
)

test("the group's permissions are left as they are: a relay as another user", () => {
  const directory = join(temporaryDirectory(), 'group')
  mkdirSync(directory)
  chmodSync(directory, 0o770)
  recordInto(directory)
  expect(statSync(directory).mode & 0o777).toBe(0o770)
})

test.skipIf(isRoot)('a read-only directory is passed over (root may write to it)', () => {
  const directory = join(temporaryDirectory(), 'read-only')
  mkdirSync(directory)
  chmodSync(directory, 0o500)
  const { disk, names } = recordInto(directory)
  expect(names(disk)).toEqual(['first', 'second'])
})

test('a read-only file system is passed over', (context) => {
  const directory = mount(context, 'size=1m,ro')
  const { disk, names, warnings } = recordInto(directory)
  expect(names(disk)).toEqual(['first', 'second'])
  expect(warnings).toEqual([expect.stringContaining('EROFS')])
})

test('where no tier can be used nothing throws, and all is counted', () => {
  const file = join(temporaryDirectory(), 'file')
  writeFileSync(file, '')
  const { recorder, warnings } = openSpool({ spoolDir: join(file, 'a'), diskDir: join(file, 'b') })
  for (let i = 0; i < 5; i++) {
    const span = recorder.start(null, null, 'lost', 0, 0, undefined, undefined)
    recorder.flush()
    recorder.update(span, { output: 1 })
    recorder.end(span, undefined)
  }
  recorder.close()
  expect(recorder.stats()).toMatchObject({ observations: 5, bytes: 0, lost: { no_spool: 5 } })
  expect(new Set(warnings).size).toBe(2)
})

test('of 64 MB in /dev/shm half is used, the rest goes to disk', (context) => {
  const spoolDir = mount(context, 'size=64m')
  const { disk, recorder } = openSpool({ spoolDir, diskCapBytes: 1024 * MB })
  for (let i = 0; i < 40; i++) {
    recorder.event(null, null, `event ${i}`, 2, 0, { input: Buffer.alloc(MB, i) }, undefined)
    recorder.flush()
  }
  recorder.close()
  const used = segmentsIn(spoolDir).reduce((sum, { length }) => sum + length, 0)
  expect(used).toBeGreaterThan(29 * MB)
  expect(used).toBeLessThanOrEqual(33 * MB)
  const { observations } = contentOf(spoolDir, disk)
  expect(observations.map(({ name }) => name)).toEqual(
    Array.from({ length: 40 }, (_, i) => `event ${i}`),
  )
  for (const [i, { input }] of observations.entries())
    expect((input as Buffer).equals(Buffer.alloc(MB, i))).toBe(true)
})

test.each([0, 20_000, 300_000, 2_000_000])('a cap of %d bytes holds', (spoolCapBytes) => {
  withoutSlowWrites()
  const { memory, disk, recorder } = openSpool({ spoolCapBytes })
  for (let i = 0; i < 1000; i++) {
    recorder.event(null, null, 'event', 2, 0, { input: `${i}`.repeat(1000) }, undefined)
    recorder.flush()
  }
  recorder.close()
  const used = segmentsIn(memory).reduce((sum, { length }) => sum + length, 0)
  // The last frame of a segment may go over its share.
  expect(used).toBeLessThanOrEqual(spoolCapBytes * 1.05)
  expect(used).toBeGreaterThanOrEqual(spoolCapBytes * 0.45)
  expect(contentOf(memory, disk).observations.length).toBe(1000)
  expect(segmentsIn(disk).every(({ frames }) => frames.every(({ hasCrc }) => hasCrc))).toBe(true)
})

test('the memory tier is used again when the relay has made room', () => {
  withoutSlowWrites()
  const { memory, disk, recorder } = openSpool({ spoolCapBytes: 600_000 })
  const record = () => {
    for (let i = 0; i < 300; i++) {
      recorder.event(null, null, 'event', 2, 0, { input: `${i}`.repeat(2000) }, undefined)
      recorder.flush()
    }
  }
  record()
  const first = segmentsIn(memory).map(({ header }) => header.segment)
  for (const name of readdirSync(memory)) rmSync(join(memory, name))
  record()
  expect(segmentsIn(disk).length).toBeGreaterThan(0)
  expect(segmentsIn(memory)[0]?.header.segment).toBeGreaterThan(first.at(-1) as number)
})

test.skipIf(process.platform === 'win32').each<[string, (path: string, base: string) => unknown]>([
  ['a directory', (path) => mkdirSync(path)],
  ['a FIFO', (path) => execFileSync('/usr/bin/mkfifo', [path])],
  ['a link', (path, base) => symlinkSync(join(base, 'huge'), path)],
  ['a link to nothing', (path, base) => symlinkSync(join(base, 'nowhere'), path)],
  ['a link to itself', (path) => symlinkSync(path, path)],
  ['a second name', (path, base) => linkSync(join(base, 'huge'), path)],
  ['a socket', (path) => listen(path)],
  ['a file of another user', (path) => isRoot && giveAway(path)],
])('%s that is named as a free file is passed over', async (_what, make) => {
  const base = temporaryDirectory()
  const memory = join(base, 'memory')
  mkdirSync(memory)
  writeFileSync(join(base, 'huge'), '')
  truncateSync(join(base, 'huge'), 16 * MB)
  await make(join(memory, '0.free'), base)
  const found = readdirSync(memory)
  writeFileSync(join(memory, '1.free'), Buffer.alloc(300_000))

  // In a process of its own: one that blocks when it opens a file can't be stopped from within.
  const child = join(import.meta.dirname, 'record.child.ts')
  const { stdout, stderr, status } = spawnSync(process.execPath, [child, base], {
    encoding: 'utf8',
    timeout: 8000,
  })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  const { lost } = JSON.parse(stdout) as { lost: Record<string, number> }
  expect(Object.values(lost).every((count) => count === 0)).toBe(true)
  expect(contentOf(memory).observations.length).toBe(200)
  expect(existsSync(join(base, 'disk'))).toBe(false)
  expect(readdirSync(memory)).toEqual([...found, expect.stringMatching(/-00000001\.seg$/)])
  expect(allSegmentsIn(memory)[0]?.header.recycled).toBe(true)
})

test('what a link leads to is not counted against the cap', () => {
  const base = temporaryDirectory()
  const memory = join(base, 'memory')
  mkdirSync(memory)
  writeFileSync(join(base, 'huge'), '')
  truncateSync(join(base, 'huge'), 1024 * MB)
  symlinkSync(join(base, 'huge'), join(memory, 'link.free'))
  const { names } = recordInto(memory)
  expect(names(memory)).toEqual(['first', 'second'])
})

async function listen(path: string): Promise<void> {
  const server = createServer().listen(path)
  onTestFinished(() => void server.close())
  await new Promise((resolve) => server.once('listening', resolve))
}

function giveAway(path: string): void {
  writeFileSync(path, 'theirs')
  chownSync(path, 12_345, 12_345)
}
