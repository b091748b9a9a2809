import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addAbortSignal, PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { observe } from '../api/observe.ts'
import { startActiveObservation } from '../api/start.ts'
import { type Recordings, recordInMemory } from '../api/test-recorder.ts'

const WORDS = ['Xin ', 'chào', '!']

function wordStream(failure?: Error): ReadableStream<string> {
  const words = [...WORDS]
  return new ReadableStream({
    async pull(controller) {
      await new Promise(setImmediate)
      const word = words.shift()
      if (word !== undefined) controller.enqueue(word)
      else if (failure) controller.error(failure)
      else controller.close()
    },
  })
}

const complete = { output: 'Xin chào!', finished: true, level: undefined }

/** The observation once it has ended. */
async function ended(recorded: Recordings, name = 'f') {
  for (let i = 0; i < 20 && !recorded.one(name).finished; i++) await new Promise(setImmediate)
  return recorded.one(name)
}

describe('web streams', () => {
  const readers: Record<string, (stream: ReadableStream<string>) => Promise<unknown>> = {
    'a reader': async (stream) => {
      const reader = stream.getReader()
      while (!(await reader.read()).done);
    },
    'a reader that stops at the last chunk': async (stream) => {
      const reader = stream.getReader()
      for (let i = 0; i < 3; i++) await reader.read()
      await reader.closed
    },
    iteration: async (stream) => {
      for await (const _ of stream);
    },
    values: async (stream) => {
      for await (const _ of stream.values());
    },
    pipeTo: (stream) => stream.pipeTo(new WritableStream()),
    pipeThrough: async (stream) => text(stream.pipeThrough(new TransformStream())),
    'a Response': (stream) => new Response(stream.pipeThrough(new TextEncoderStream())).text(),
    'Readable.fromWeb': async (stream) => text(Readable.fromWeb(stream as never)),
    'stream/consumers': (stream) => text(stream as never),
    tee: async (stream) => {
      const [a, b] = stream.tee()
      await Promise.all([text(a as never), text(b as never)])
    },
    'two readers, one after the other': async (stream) => {
      const first = stream.getReader()
      await first.read()
      first.releaseLock()
      await readers.iteration!(stream)
    },
  }

  it.each(Object.keys(readers))('are read by %s', async (name) => {
    const recorded = recordInMemory()
    const stream = wordStream()
    const returned = observe(() => stream, { name: 'f' })()
    expect(returned).toBe(stream)
    expect(recorded.one('f').finished).toBe(false)
    await readers[name]!(returned)
    expect(await ended(recorded)).toMatchObject(complete)
  })

  it.each(Object.keys(readers))('fail for %s', async (name) => {
    const recorded = recordInMemory()
    const stream = observe(() => wordStream(new Error('cut off')), { name: 'f' })()
    await expect(readers[name]!(stream)).rejects.toThrow()
    expect(await ended(recorded)).toMatchObject({
      level: 'ERROR',
      statusMessage: 'cut off',
      finished: true,
    })
  })

  const quitters: Record<string, (stream: ReadableStream<string>) => Promise<unknown>> = {
    'cancelling the stream': (stream) => stream.cancel('enough'),
    'cancelling the reader': async (stream) => {
      const reader = stream.getReader()
      await reader.read()
      await reader.cancel('enough')
    },
    'breaking off the iteration': async (stream) => {
      for await (const _ of stream) break
    },
    'a destination that fails': (stream) =>
      stream
        .pipeTo(new WritableStream({ write: () => Promise.reject(new Error('full')) }))
        .catch(() => {}),
  }

  it.each(Object.keys(quitters))('end by %s', async (name) => {
    const recorded = recordInMemory()
    const cancelled: unknown[] = []
    const stream = new ReadableStream<string>({
      pull: (controller) => controller.enqueue('word'),
      cancel: (reason) => void cancelled.push(reason),
    })
    await quitters[name]!(observe(() => stream, { name: 'f' })())
    expect(await ended(recorded)).toMatchObject({ finished: true, level: undefined })
    expect(cancelled).toHaveLength(1)
  })

  it('of bytes are recorded as text, with BYOB readers too', async () => {
    const recorded = recordInMemory()
    const stream = new ReadableStream({
      type: 'bytes',
      start(controller) {
        for (const word of WORDS) controller.enqueue(new TextEncoder().encode(word))
        controller.close()
      },
    })
    const reader = observe(() => stream, { name: 'f' })().getReader({ mode: 'byob' })
    let buffer = new ArrayBuffer(4)
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(buffer))
      if (done) break
      buffer = value.buffer as ArrayBuffer
    }
    expect(await ended(recorded)).toMatchObject(complete)
  })

  it('of bytes are read by a Response', async () => {
    const recorded = recordInMemory()
    const stream = wordStream().pipeThrough(new TextEncoderStream())
    expect(await new Response(observe(() => stream, { name: 'f' })()).text()).toBe('Xin chào!')
    expect(await ended(recorded)).toMatchObject(complete)
  })

  it('that are no text are recorded as bytes', async () => {
    const recorded = recordInMemory()
    const bytes = new Uint8Array([0xff, 0xfe, 1])
    const stream = observe(() => new Response(bytes).body!, { name: 'f' })()
    for await (const _ of stream);
    expect((await ended(recorded)).output).toEqual(Buffer.from(bytes))
  })

  it('with their own iteration are counted once', async () => {
    const recorded = recordInMemory()
    const stream = Object.assign(wordStream(), {
      async *[Symbol.asyncIterator](this: ReadableStream<string>) {
        const reader = this.getReader()
        for (;;) {
          const { done, value } = await reader.read()
          if (done) return
          yield value
        }
      },
    })
    for await (const _ of observe(() => stream, { name: 'f' })());
    expect(await ended(recorded)).toMatchObject(complete)
  })

  it('leave the transfer of errors and locks as it is', async () => {
    recordInMemory()
    const stream = observe(() => wordStream())()
    stream.getReader()
    expect(stream.locked).toBe(true)
    expect(() => stream.getReader()).toThrow(TypeError)
    expect(() => stream.tee()).toThrow(TypeError)
    await expect(stream.pipeTo(new WritableStream())).rejects.toThrow(TypeError)
    await expect(stream.cancel()).rejects.toThrow(TypeError)
    expect(() => stream.pipeThrough(new TransformStream())).toThrow(TypeError)
  })

  it('are followed in startActiveObservation, without output', async () => {
    const recorded = recordInMemory()
    for await (const _ of startActiveObservation('f', () => wordStream()));
    expect(await ended(recorded)).toMatchObject({ finished: true, output: undefined })
  })
})

describe('Node streams', () => {
  const readers: Record<string, (stream: Readable) => Promise<unknown>> = {
    iteration: async (stream) => {
      for await (const _ of stream);
    },
    data: (stream) =>
      new Promise((resolve, reject) =>
        stream
          .on('data', () => {})
          .on('end', resolve)
          .on('error', reject),
      ),
    read: (stream) =>
      new Promise((resolve, reject) => {
        stream.on('readable', () => {
          while (stream.read() !== null);
        })
        stream.on('end', resolve).on('error', reject)
      }),
    pipeline: (stream) => pipeline(stream, new PassThrough().resume()),
    'stream/consumers': (stream) => text(stream),
    'Readable.toWeb': (stream) => text(Readable.toWeb(stream) as never),
  }

  it.each(Object.keys(readers))('are read by %s', async (name) => {
    const recorded = recordInMemory()
    const stream = Readable.from(WORDS, { objectMode: false })
    const returned = observe(() => stream, { name: 'f' })()
    expect(returned).toBe(stream)
    await new Promise(setImmediate)
    expect(recorded.one('f').finished).toBe(false)
    await readers[name]!(returned)
    expect(await ended(recorded)).toMatchObject(complete)
  })

  it.each(Object.keys(readers))('fail for %s', async (name) => {
    const recorded = recordInMemory()
    const failing = async function* () {
      yield 'Xin '
      throw new Error('cut off')
    }
    const stream = observe(() => Readable.from(failing()), { name: 'f' })()
    await expect(readers[name]!(stream)).rejects.toThrow('cut off')
    expect(await ended(recorded)).toMatchObject({
      output: 'Xin ',
      level: 'ERROR',
      statusMessage: 'cut off',
      finished: true,
    })
  })

  it('end when they are destroyed', async () => {
    const recorded = recordInMemory()
    const stream = observe(() => new PassThrough(), { name: 'f' })()
    stream.write('some')
    stream.once('data', () => stream.destroy())
    expect(await ended(recorded)).toMatchObject({
      output: 'some',
      finished: true,
      level: undefined,
    })
  })

  const leavers: Record<string, (stream: Readable) => Promise<unknown>> = {
    'a break': async (stream) => {
      for await (const _ of stream) break
    },
    'a loop that throws': async (stream) => {
      await expect(async () => {
        for await (const _ of stream) throw new Error('of the reader')
      }).rejects.toThrow('of the reader')
    },
    'a break out of iterator()': async (stream) => {
      for await (const _ of stream.iterator()) break
    },
    take: (stream) => stream.take(1).toArray(),
    'the cancel of a web stream': async (stream) => {
      const reader = Readable.toWeb(stream).getReader()
      await reader.read()
      await reader.cancel()
    },
  }

  it.each(Object.keys(leavers))('are left early by %s', async (name) => {
    const recorded = recordInMemory()
    const words = async function* () {
      for (;;) yield 'word'
    }
    await leavers[name]!(
      observe(() => Readable.from(words(), { highWaterMark: 1 }), { name: 'f' })(),
    )
    expect(await ended(recorded)).toMatchObject({ finished: true, level: undefined })
    expect(recorded.one('f').output).toMatch(/^(word)+$/)
  })

  it('fail when a signal aborts them', async () => {
    const recorded = recordInMemory()
    const abort = new AbortController()
    const stream = observe(() => addAbortSignal(abort.signal, new PassThrough()), { name: 'f' })()
    stream.write('some')
    await expect(async () => {
      for await (const _ of stream) abort.abort()
    }).rejects.toThrow('aborted')
    expect(await ended(recorded)).toMatchObject({
      output: 'some',
      level: 'ERROR',
      statusMessage: 'The operation was aborted',
    })
  })

  it('report an error that nobody handles', async () => {
    const recorded = recordInMemory()
    const stream = observe(() => new PassThrough(), { name: 'f' })()
    expect(stream.listenerCount('error')).toBe(0)
    expect(() => stream.emit('error', new Error('nobody'))).toThrow('nobody')
    expect(recorded.one('f')).toMatchObject({ statusMessage: 'nobody', finished: true })
  })

  it('that have ended already end at once', async () => {
    const recorded = recordInMemory()
    const stream = Readable.from(WORDS)
    await text(stream)
    const broken = new PassThrough()
    broken.on('error', () => {}).destroy(new Error('gone'))
    await new Promise(setImmediate)
    observe(() => stream, { name: 'f' })()
    observe(() => broken, { name: 'g' })()
    expect(recorded.one('f').finished).toBe(true)
    expect(recorded.one('g')).toMatchObject({ statusMessage: 'gone', finished: true })
  })

  it('of files, read and written, are followed', async () => {
    const recorded = recordInMemory()
    const directory = await mkdtemp(join(tmpdir(), 'offpath-'))
    onTestFinished(() => rm(directory, { recursive: true }))
    const path = join(directory, 'file')
    const target = observe(() => createWriteStream(path), { name: 'write' })()
    await pipeline(Readable.from(WORDS), target)
    expect(recorded.one('write')).toMatchObject({ finished: true, output: undefined })
    expect(await text(observe(() => createReadStream(path), { name: 'read' })())).toBe('Xin chào!')
    expect(recorded.one('read')).toMatchObject(complete)
  })

  it('of HTTP, incoming, are followed', async () => {
    const recorded = recordInMemory()
    const server = createServer((_, response) => {
      for (const word of WORDS) response.write(word)
      response.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    const body = await observe(async () => (await fetch(`http://127.0.0.1:${port}`)).body!, {
      name: 'f',
    })()
    for await (const _ of body);
    expect(await ended(recorded)).toMatchObject(complete)
  })
})
