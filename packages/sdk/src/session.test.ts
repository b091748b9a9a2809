import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type CollectedObservation, readSegments } from './testing/assemble.ts'
import { readSegment } from './testing/decode.ts'

const run = promisify(execFile)
const SOURCE = import.meta.dirname

interface Result {
  readonly observations: readonly CollectedObservation[]
  readonly header: Readonly<Record<string, unknown>> | undefined
  readonly stdout: string
  readonly stderr: string
  readonly directory: string
}

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'offpath-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  return directory
}

/** Runs an application that has imported all of the package as `offpath`. Its spool is a directory of its own. */
async function application(code: string, env: Record<string, string> = {}): Promise<Result> {
  const directory = await temporaryDirectory()
  const spool = join(directory, 'spool')
  const program = `import * as offpath from ${JSON.stringify(join(SOURCE, 'index.ts'))}\n${code}`
  const { stdout, stderr } = await run(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', program],
    {
      env: {
        OFFPATH_SPOOL_DIR: spool,
        OFFPATH_SPOOL_DISK_DIR: join(directory, 'disk'),
        DIRECTORY: directory,
        ...env,
      },
    },
  )
  const files = await readdir(spool).catch(() => [])
  const segments = await Promise.all(
    files
      .filter((file) => file.endsWith('.seg'))
      .map(async (file) => readSegment(await readFile(join(spool, file)))),
  )
  const { observations } = readSegments(segments)
  return { observations, header: segments[0]?.header, stdout, stderr, directory }
}

/** Directories that can't be made as long as FILE is there. */
async function nowhere(): Promise<Record<string, string>> {
  const file = join(await temporaryDirectory(), 'file')
  await writeFile(file, '')
  return {
    FILE: file,
    OFFPATH_SPOOL_DIR: join(file, 'spool'),
    OFFPATH_SPOOL_DISK_DIR: join(file, 'disk'),
  }
}

describe('the environment', () => {
  it('is enough', async () => {
    const { observations, header, stderr } = await application(
      `offpath.startActiveObservation('x', (x) => { x.update({ input: 'in' }) })`,
      { OFFPATH_SERVICE: 'shop', LANGFUSE_TRACING_ENVIRONMENT: 'prod', LANGFUSE_RELEASE: 'r1' },
    )
    expect(observations).toMatchObject([{ name: 'x', input: 'in', finished: true }])
    expect(header).toMatchObject({ service: 'shop', environment: 'prod', release: 'r1' })
    expect(stderr).toBe('')
  })

  it('warns of what it cannot use, and goes on', async () => {
    const { observations, stderr } = await application(`offpath.startObservation('x').end()`, {
      OFFPATH_SAMPLE_RATE: 'half',
    })
    expect(observations).toHaveLength(1)
    expect(stderr).toContain(
      "OFFPATH_SAMPLE_RATE: 'half' is not a number from 0 to 1; it is ignored",
    )
  })

  it.each([
    { OFFPATH_ENABLED: 'false' },
    { LANGFUSE_TRACING_ENABLED: 'false' },
    { OTEL_SDK_DISABLED: 'true' },
  ])('disables with %o: all works, with zero ids, and nothing is written', async (env) => {
    const { stdout, stderr, directory } = await application(
      `
        const told = []
        const inside = offpath.startActiveObservation('x', (x) => {
          x.update({ input: 1 }).end()
          x.startObservation('y', {}, { asType: 'tool' }).update({ output: 1 }).setTraceIO({ input: 1 }).end()
          offpath.updateActiveObservation({ output: 1 })
          return [x.id, x.traceId, x.otelSpan.isRecording(), offpath.getActiveSpanId(), offpath.getActiveTraceId()]
        }, { asType: 'agent' })
        const generator = (function* () { yield 1 })()
        const parentSpanContext = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }
        const child = offpath.startObservation('z', {}, { parentSpanContext })
        const error = new Error('e')
        let thrown
        try { offpath.observe(() => { throw error })() } catch (e) { thrown = e }
        console.log(JSON.stringify({
          inside,
          same: offpath.observe(() => generator)() === generator && !Object.hasOwn(generator, 'next'),
          propagated: offpath.propagateAttributes({ userId: 5, tags: ['t'] }, () => offpath.withProject('p', () => 'result')),
          ids: [child.traceId, child.id, child.startObservation('w').id],
          thrown: thrown === error,
          type: offpath.startObservation('t', {}, { asType: 'tool' }).type,
          flushed: await offpath.flush({ until: 'delivered' }),
          stats: offpath.stats(),
          traceId: await offpath.createTraceId('seed'),
        }))
        `,
      env,
    )
    expect(JSON.parse(stdout)).toEqual({
      inside: ['0'.repeat(16), '0'.repeat(32), false, null, null],
      same: true,
      propagated: 'result',
      ids: ['a'.repeat(32), 'b'.repeat(16), 'b'.repeat(16)],
      thrown: true,
      type: 'tool',
      flushed: true,
      stats: expect.objectContaining({ observations: 0, bytes: 0 }),
      traceId: '19b25856e1c150ca834cffc8b59b23ad',
    })
    expect(stderr).toBe('')
    expect(await readdir(directory)).toEqual([])
  })
})

describe('init', () => {
  it('comes before the environment', async () => {
    const { header } = await application(
      `offpath.init({ service: 'given', resource: { shard: 3 } }); offpath.startObservation('x')`,
      { OFFPATH_SERVICE: 'shop' },
    )
    expect(header).toMatchObject({ service: 'given', resource: { shard: 3 } })
  })

  it('throws for a misspelled option', async () => {
    const { stdout } = await application(
      `try { offpath.init({ enviroment: 'x' }) } catch (e) {
        console.log(e instanceof offpath.OptionsError, e.code, e.message)
      }`,
    )
    expect(stdout.trim()).toBe(
      'true OFFPATH_OPTIONS @offpath/sdk, init: unknown option enviroment (did you mean environment?)',
    )
  })

  it('warns when it comes too late, unless it changes nothing', async () => {
    const late = await application(`offpath.startObservation('x'); offpath.init({ service: 's' })`)
    expect(late.stderr).toContain('init() came after the first observation')
    const same = await application(`offpath.init({ service: 's' }); offpath.init({ service: 's' })`)
    expect(same.stderr).toBe('')
  })
})

describe('flush, stats and shutdown', () => {
  it('write what is pending, and say what was recorded', async () => {
    const { observations, stdout } = await application(`
      offpath.startObservation('x')
      console.log(await offpath.flush(), offpath.stats().observations, offpath.stats().bytes > 0)
      const kept = offpath.startObservation('kept')
      console.log(await offpath.shutdown())
      kept.update({ output: 'late' }).end()
      offpath.startObservation('late').end()
      console.log(offpath.startObservation('late').id)
      process.kill(process.pid, 'SIGTERM')
    `).catch(async (error: { signal: string; stdout: string }) => {
      expect(error.signal).toBe('SIGTERM')
      return { observations: [], stdout: error.stdout }
    })
    expect(observations).toEqual([])
    expect(stdout.trim().split('\n')).toEqual(['true 1 true', 'true', '0'.repeat(16)])
  })

  it('tell what is lost with a spool that was removed', async () => {
    const { stdout } = await application(`
      import { rmSync } from 'node:fs'
      const lost = () => offpath.stats().lost.segment_removed
      offpath.startObservation('x')
      console.log(await offpath.flush())
      offpath.startObservation('y')
      await new Promise((resolve) => setTimeout(resolve, 50))
      rmSync(process.env.OFFPATH_SPOOL_DIR, { recursive: true })
      console.log(await offpath.flush({ until: 'delivered', timeoutMs: 50 }), lost())
      offpath.startObservation('z')
      await new Promise((resolve) => setTimeout(resolve, 50))
      rmSync(process.env.OFFPATH_SPOOL_DIR, { recursive: true })
      process.on('exit', () => console.log(lost()))
    `)
    expect(stdout.trim().split('\n')).toEqual(['true', 'false 2', '3'])
  })

  it('tell that there is nowhere to write, for as long as there is', async () => {
    const { stdout } = await application(
      `
      import { rmSync } from 'node:fs'
      offpath.startObservation('x')
      console.log(await offpath.flush())
      rmSync(process.env.FILE)
      await new Promise((resolve) => setTimeout(resolve, 150))
      offpath.startObservation('y')
      console.log(await offpath.flush(), await offpath.flush())
      console.log(offpath.stats().lost.no_spool)
    `,
      await nowhere(),
    )
    expect(stdout.trim().split('\n')).toEqual(['false', 'true true', '1'])
  })

  it('never reject: options that they cannot use are told, each once', async () => {
    const { stdout, stderr } = await application(`
      offpath.startObservation('x')
      const given = [
        null, 'delivered', { until: 'x' }, { until: 'x' }, { until: undefined, timeoutMs: '5' },
        { timeoutMs: -1 }, { timeoutMs: NaN }, { timeout: 5 }, { wait: true },
      ]
      const flushed = []
      for (const options of given) flushed.push(await offpath.flush(options))
      console.log(flushed.join(' '), await offpath.shutdown({ until: Symbol() }))
    `)
    expect(stdout.trim()).toBe(new Array(10).fill('true').join(' '))
    const told = stderr.match(/(?<=\[OFFPATH_API\] OffpathWarning: ).*/g)
    expect(told).toEqual([
      "flush: null is not an object of options, such as { until: 'delivered' }; it is ignored",
      "flush: 'delivered' is not an object of options, such as { until: 'delivered' }; it is ignored",
      "flush: until: 'x' is not 'spooled' or 'delivered'; 'spooled' is used",
      "flush: timeoutMs: '5' is not a number of milliseconds from 0; 10000 is used",
      'flush: timeoutMs: -1 is not a number of milliseconds from 0; 10000 is used',
      'flush: timeoutMs: NaN is not a number of milliseconds from 0; 10000 is used',
      'flush: unknown option timeout (did you mean timeoutMs?); it is ignored',
      'flush: unknown option wait (known: until, timeoutMs); it is ignored',
      "flush: until: Symbol() is not 'spooled' or 'delivered'; 'spooled' is used",
    ])
  })

  it('tell why the spool refuses, with a code', async () => {
    const directory = await temporaryDirectory()
    await chmod(directory, 0o777)
    const disk = await temporaryDirectory()
    await writeFile(join(disk, 'full.seg'), Buffer.alloc(2048))
    const { stderr } = await application(`offpath.startObservation('x')`, {
      OFFPATH_SPOOL_DIR: directory,
      OFFPATH_SPOOL_DISK_DIR: disk,
      OFFPATH_SPOOL_DISK_CAP: '1KB',
    })
    const told = stderr.match(/\[OFFPATH_\w+\] OffpathWarning: cannot write to the spool/g)
    expect(told?.map((line) => line.slice(1, line.indexOf(']')))).toEqual([
      'OFFPATH_SPOOL_UNSAFE',
      'OFFPATH_SPOOL_FULL',
    ])
    const { stderr: other } = await application(`offpath.startObservation('x')`, await nowhere())
    expect(other).toContain('[OFFPATH_SPOOL_UNUSABLE] OffpathWarning: cannot write to the spool')
  })

  it('wait for delivery no longer than they are told', async () => {
    const { stdout } = await application(`
      offpath.startObservation('x').end()
      const begun = performance.now()
      console.log(await offpath.flush({ until: 'delivered', timeoutMs: 100 }), performance.now() - begun < 2000)
    `)
    expect(stdout.trim()).toBe('false true')
  })

  it('tell after a shutdown what was recorded and lost until then', async () => {
    const { stdout } = await application(
      `
      offpath.startObservation('a').end()
      console.log(await offpath.shutdown())
      offpath.startObservation('b').end()
      const { observations, lost } = offpath.stats()
      console.log(observations, lost.no_spool)
    `,
      await nowhere(),
    )
    expect(stdout).toBe('false\n1 1\n')
  })

  it('record nothing after a shutdown, and end nothing of what was open', async () => {
    const { observations } = await application(`
      const open = offpath.startObservation('open')
      await offpath.shutdown()
      open.end()
      offpath.startObservation('late').end()
    `)
    expect(observations).toMatchObject([{ name: 'open', finished: false }])
  })
})

it.each([
  ['v22.17.1', true],
  ['v20.20.2', true],
  ['v22.18.0', false],
  ['v24.0.0', false],
])('tells on Node %s that it is too old: %o', async (version, told) => {
  const { observations, stderr } = await application(`offpath.startObservation('x').end()`, {
    NODE_OPTIONS: `--import=data:text/javascript,Object.defineProperty(process,'version',{value:'${version}'})`,
  })
  expect(observations).toHaveLength(1)
  const warning = `[OFFPATH_NODE] OffpathWarning: @offpath/sdk needs Node 22.18 or newer, and this is ${version}\n`
  expect(stderr.split(warning)).toHaveLength(told ? 2 : 1)
  if (!told) expect(stderr).toBe('')
})

it('is one per process, however many copies are loaded', async () => {
  const directory = await temporaryDirectory()
  const copy = join(directory, 'copy')
  await mkdir(copy)
  await cp(SOURCE, join(copy, 'src'), { recursive: true })
  await cp(join(SOURCE, '..', 'package.json'), join(copy, 'package.json'))
  const { observations, header } = await application(`
    const other = await import(${JSON.stringify(join(copy, 'src', 'index.ts'))})
    if (other.startObservation === offpath.startObservation) throw new Error('not another copy')
    offpath.init({ service: 'one' })
    offpath.propagateAttributes({ userId: 'u' }, () => {
      offpath.startActiveObservation('outer', (outer) => {
        other.startActiveObservation('inner', () => {
          other.updateActiveObservation({ output: 1 })
          offpath.startObservation('innermost').end()
        })
        new other.LangfuseTool({ otelSpan: outer.otelSpan }).update({ input: 'across' })
      })
    })
  `)
  const [outer, inner, innermost] = observations
  expect(header).toMatchObject({ service: 'one' })
  expect(observations).toHaveLength(3)
  expect(outer).toMatchObject({ name: 'outer', type: 'tool', input: 'across', finished: true })
  expect(inner).toMatchObject({ parentSpanId: outer?.spanId, output: 1, trace: { userId: 'u' } })
  expect(innermost).toMatchObject({ parentSpanId: inner?.spanId })
})
