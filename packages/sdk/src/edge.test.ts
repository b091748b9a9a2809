import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it, onTestFinished, vi } from 'vitest'
import * as edge from './edge.ts'
import * as index from './index.ts'

it('has all that the package has', () => {
  expect(Object.keys(edge).sort()).toEqual(Object.keys(index).sort())
})

it('works, records nothing, and says so once', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  onTestFinished(() => warn.mockRestore())
  edge.init({ service: 'x' })
  const result = edge.startActiveObservation(
    'x',
    (x) => {
      expect(x).toBeInstanceOf(edge.LangfuseTool)
      expect([x.type, x.id, x.traceId]).toEqual(['tool', '0'.repeat(16), '0'.repeat(32)])
      const child = x
        .update({ input: 1 })
        .setTraceIO({})
        .startObservation('y', {}, { asType: 'event' })
      expect('update' in child).toBe(false)
      expect(child.otelSpan.setAttribute('a', 1).isRecording()).toBe(false)
      return 5
    },
    { asType: 'tool' },
  )
  expect(result).toBe(5)
  expect(edge.startObservation('x', {}, { asType: 'dream' as 'span' }).type).toBe('span')
  const fn = (n: number) => n + 1
  expect(edge.observe(fn)(1)).toBe(2)
  expect(edge.propagateAttributes({ userId: 'u' }, () => edge.withProject('p', () => 3))).toBe(3)
  expect(
    edge.getLangfuseTracer().startActiveSpan('x', (span) => span.spanContext().traceFlags),
  ).toBe(0)
  expect(edge.getActiveTraceId()).toBeUndefined()
  expect([await edge.flush(), await edge.shutdown(), edge.stats().observations]).toEqual([
    true,
    true,
    0,
  ])
  expect(warn).toHaveBeenCalledOnce()
})

it('imports nothing of Node', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '-e',
    `import { registerHooks } from 'node:module'
     registerHooks({ resolve(specifier, context, next) {
       if (/^node:|json$/.test(specifier)) throw new Error(specifier + ' from ' + context.parentURL)
       return next(specifier, context)
     } })
     const edge = await import(${JSON.stringify(join(import.meta.dirname, 'edge.ts'))})
     console.log(typeof edge.observe)`,
  ])
  expect(stdout.trim()).toBe('function')
})
