import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SpoolReceiver } from '../receivers/spool/receiver.ts'
import { StoreReader } from '../store/read.ts'
import { type Settlement, Store } from '../store/store.ts'
import { type PlainSpan, plainSpan } from './plain-span.ts'
import { encodeSegment, type PlainSegment, writeSegment } from './plain-writer.ts'

/** A receiver and its store on directories of their own, with a clock that a test sets. */
export class SpoolHarness {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'offpath-spool-'))
  readonly memory: string = join(this.directory, 'memory')
  readonly disk: string = join(this.directory, 'disk')
  store: Store
  receiver: SpoolReceiver
  paused = false
  /** What was logged. */
  readonly lines: string[] = []
  /** Of each commit, whether the store refused it. */
  readonly refused: boolean[] = []
  now = 1_000_000
  givenBytes: number | undefined
  readonly #rotateBytes: number

  constructor(rotateBytes: number = 64 * 1024 * 1024) {
    this.#rotateBytes = rotateBytes
    this.store = this.#openStore()
    this.receiver = this.#openReceiver()
  }

  get storeDirectory(): string {
    return join(this.directory, 'store')
  }

  #openStore(): Store {
    const store = new Store(this.storeDirectory, { rotateBytes: this.#rotateBytes })
    store.exporters(['test'])
    return store
  }

  #openReceiver(): SpoolReceiver {
    return new SpoolReceiver({
      directories: [this.memory, this.disk],
      store: this.store,
      now: () => this.now,
      paused: () => this.paused,
      ...(this.givenBytes !== undefined && { givenBytes: this.givenBytes }),
      log: (message, about) => this.lines.push(`${message} ${JSON.stringify(about)}`),
      onCommit: (_seconds, failed) => this.refused.push(failed),
    })
  }

  /** Ends receiver and store as a crash would, and starts them anew. */
  restart(): void {
    this.receiver.stop()
    this.store.close()
    this.store = this.#openStore()
    this.receiver = this.#openReceiver()
  }

  write(segment: PlainSegment, directory: string = this.memory): string {
    return writeSegment(directory, segment)
  }

  /** The file as it is after so many bytes of the segment were written. */
  writePart(path: string, segment: PlainSegment, length: number): void {
    writeFileSync(path, encodeSegment(segment).subarray(0, length))
  }

  /** Polls until nothing comes any more; time passes meanwhile. */
  drain(seconds = 2): void {
    while (this.receiver.poll());
    for (let second = 0; second < seconds; second++) {
      this.now += 1001
      while (this.receiver.poll());
    }
  }

  /** All spans in the outbox, oldest first. */
  spans(): PlainSpan[] {
    const reader = StoreReader.open(this.storeDirectory) as StoreReader
    try {
      const { spans } = reader.spansAfter(0, Number.POSITIVE_INFINITY)
      return spans.map((span) => plainSpan(span, (parts) => reader.text(parts, 1 << 30)))
    } finally {
      reader.close()
    }
  }

  read<T>(query: (reader: StoreReader) => T): T {
    const reader = StoreReader.open(this.storeDirectory) as StoreReader
    try {
      return query(reader)
    } finally {
      reader.close()
    }
  }

  names(): string[] {
    return this.spans().map(({ name }) => name)
  }

  counters(): Record<string, number> {
    return this.store.counters()
  }

  /** Names of the files in the memory-backed directory with that ending. */
  files(ending: string, directory: string = this.memory): string[] {
    return readdirSync(directory)
      .filter((name) => name.endsWith(ending))
      .sort()
  }

  /** Settles all that waits as delivered. */
  deliver(): void {
    const chunks = this.store.nextChunks('test', 0, Number.POSITIVE_INFINITY)
    this.store.acknowledge(
      'test',
      chunks.map((chunk): Settlement => {
        const revisions = this.store.readSpans(chunk).filter(({ revision }) => revision > 0).length
        return {
          chunk: chunk.id,
          complete: true,
          states: null,
          delivered: chunk.spans - revisions,
          dead: 0,
          dropped: {},
          resent: revisions,
          notResent: 0,
          deadLetters: [],
        }
      }),
    )
  }

  /** The counting law of the exporter; throws when it is broken. */
  law(): { accepted: number; delivered: number; dead: number; dropped: number; held: number } {
    return this.read((reader) => {
      const row = reader.exporters().find(({ name }) => name === 'test')
      if (row === undefined) throw new Error('no exporter')
      const figures = {
        accepted: row.accepted,
        delivered: row.delivered,
        dead: row.dead,
        dropped: Object.values(row.dropped).reduce((sum, count) => sum + count, 0),
        held: row.held,
      }
      const { accepted, delivered, dead, dropped, held } = figures
      if (accepted !== delivered + dead + dropped + held) {
        throw new Error(`the counting law is broken: ${JSON.stringify(figures)}`)
      }
      return figures
    })
  }

  close(): void {
    this.receiver.stop()
    this.store.close()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
