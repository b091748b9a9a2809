import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { RecorderOptions } from '../recorder/options.ts'
import { Recorder } from '../recorder/recorder.ts'
import { SpoolWriter } from '../spool/writer.ts'
import { readSegments, type SpoolContent } from './assemble.ts'
import { readSegment, type Segment } from './decode.ts'
import { testOptions } from './options.ts'

/** A directory that goes with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'offpath-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** The segments in the directories, in the order of their numbers. All bytes must belong to good frames. */
export function segmentsIn(...directories: string[]): Segment[] {
  return allSegmentsIn(...directories).map((segment) => {
    if (segment.skipped > 0) throw new Error(`${segment.skipped} bytes belong to no frame`)
    return segment
  })
}

/** As `segmentsIn`, torn ones included. */
export function allSegmentsIn(...directories: string[]): Segment[] {
  return directories
    .filter((directory) => existsSync(directory))
    .flatMap((directory) =>
      readdirSync(directory)
        .filter((name) => name.endsWith('.seg'))
        .map((name) => readSegment(readFileSync(join(directory, name)))),
    )
    .sort((a, b) => a.header.segment - b.header.segment)
}

/** What one writer recorded into the directories. */
export function contentOf(...directories: string[]): SpoolContent {
  return readSegments(allSegmentsIn(...directories))
}

export interface TestSpool {
  /** Where the memory tier and the disk tier are. */
  readonly memory: string
  readonly disk: string
  readonly writer: SpoolWriter
  readonly recorder: Recorder
  readonly warnings: string[]
}

const MB = 1024 * 1024

/** A recorder on the real spool writer, closed when the test is over. */
export function openSpool(options: Partial<RecorderOptions> = {}): TestSpool {
  const base = temporaryDirectory()
  const memory = options.spoolDir ?? join(base, 'memory')
  const disk = options.diskDir ?? join(base, 'disk')
  const warnings: string[] = []
  const warn = (message: string) => warnings.push(message)
  const complete: RecorderOptions = { ...testOptions, diskCapBytes: 64 * MB, ...options }
  const writer = new SpoolWriter({
    tiers: [
      { directory: memory, capBytes: options.spoolCapBytes, crc: false },
      { directory: disk, capBytes: complete.diskCapBytes, crc: true },
    ],
    thread: 0,
    heartbeatSeconds: 10,
    describe: () => ({
      service: complete.service ?? null,
      environment: complete.environment ?? null,
      release: complete.release ?? null,
      sdk: complete.sdk,
      language: 'javascript',
      resource: complete.resource,
    }),
    warn,
  })
  const recorder = new Recorder(complete, writer, warn)
  onTestFinished(() => recorder.close())
  return { memory, disk, writer, recorder, warnings }
}
