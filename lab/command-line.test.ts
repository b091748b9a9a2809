import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const node = ['--conditions=offpath-source', '--no-warnings']

test.each<[program: string, args: string, says: string]>([
  ['bench', '', 'which one? There are recorder, load, relay, delivery, python'],
  ['bench', 'loda', 'no loda; there are recorder, load, relay, delivery, python'],
  ['bench', 'load relay', 'one at a time: load, not relay as well'],
  [
    'bench',
    'load --foo',
    'no option --foo; there are --quick, --json, --rounds, --cases, --subjects, --seed, --scale, --out, --dir, --backlog-gb',
  ],
  ['bench', 'load --quick=yes', '--quick takes no value'],
  ['bench', 'load --rounds', '--rounds needs a value'],
  ['bench', 'load --rounds x', '--rounds x: it takes a whole number from 1 up'],
  ['bench', 'load --rounds 0', '--rounds 0: it takes a whole number from 1 up'],
  ['bench', 'load --seed 1.5', '--seed 1.5: it takes a whole number from 0 up'],
  ['bench', 'load --scale 0', '--scale 0: it takes a number above 0'],
  ['bench', 'load --cases vi,foo', '--cases foo: there are chat, rag, longctx, agent, vi, history'],
  ['bench', 'relay --cases foo', '--cases foo: there are small-store, small-export, 4kb-export'],
  [
    'bench',
    'python --cases foo',
    '--cases foo: there are small, generation, history, fastapi-64kb, fastapi-256kb',
  ],
  ['bench', 'relay --subjects none', '--subjects: relay measures Offpath alone'],
  [
    'bench',
    'load --subjects foo',
    '--subjects foo: there are none, offpath, langfuse, langfuse-tuned, otel',
  ],
  ['chaos', '', 'which one? There are app, python, relay, started, list, redis, model, soak'],
  [
    'chaos',
    'app -n 3',
    'no option -n; there are --json, --long, --times, --seed, --minutes, --faults',
  ],
  ['chaos', 'relay --times -3', '--times -3: it takes a whole number from 1 up'],
])('%s %s: %s', (program, args, says) => {
  const words = args.split(' ').filter(Boolean)
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...node, join(import.meta.dirname, `${program}.ts`), ...words],
    { encoding: 'utf8' },
  )
  expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: '', stderr: `${says}\n` })
})

test.each(['bench', 'chaos'])('%s --help prints its usage', (program) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...node, join(import.meta.dirname, `${program}.ts`), '--help'],
    { encoding: 'utf8' },
  )
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).toMatch(new RegExp(`^Usage: npm run ${program} -- `))
})
