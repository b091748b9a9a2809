import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

// Workspace packages are tested from their sources: no build, no stale dist.
const condition = 'offpath-source'

// They build the packages, which others run meanwhile: by themselves, at the end.
const builds = ['test/{packages,start}.test.ts']

// x.kill.test.ts is a kill loop: minutes of SIGKILLs, which the Node matrix leaves out.
const killLoops = '**/*.kill.test.ts'

// x.python.test.ts needs packages from PyPI: `npm run test:python` makes their environments.
const pythonTests = '**/*.python.test.ts'
const never = ['**/node_modules/**', '**/dist/**']

// Of the relay, what starts relays and applications for each test, and what starts Redis: most of its time. The Node matrix
// leaves out what is the same on each Node.
const processes = ['packages/relay/src/{cli,application}/**/*.test.ts']
const redis = [
  'packages/relay/src/redis/**/*.test.ts',
  'packages/relay/src/receivers/redis*/**/*.test.ts',
  'packages/relay/src/{pool,receivers/conformance}.test.ts',
]

// Tests start hundreds of processes from the sources: a relay comes up in half the time when its types are stripped already.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compile')

// Units first, then whole systems (e2e), then kill loops.
const config: ViteUserConfig = defineConfig({
  ssr: {
    resolve: {
      conditions: [condition, 'node'],
      // vitest hands these to its workers as --conditions; threads and forked children inherit them.
      externalConditions: [condition],
    },
  },
  test: {
    // Machines of a CI are shared: a test that waits for a process may be late once, a defect fails every time.
    retry: process.env.CI ? 2 : 0,
    // Twice the cores: most tests wait for processes, files and time.
    maxWorkers: 2 * availableParallelism(),
    projects: [
      {
        extends: true,
        test: {
          name: 'sdk',
          include: ['packages/sdk/**/*.test.ts'],
          exclude: [...never, killLoops],
          testTimeout: 20_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'relay',
          include: ['packages/relay/**/*.test.ts'],
          exclude: [...never, killLoops, ...processes, ...redis],
          testTimeout: 20_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'relay-processes',
          include: processes,
          exclude: [...never, killLoops],
          testTimeout: 20_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'relay-redis',
          include: redis,
          exclude: [...never, killLoops],
          testTimeout: 20_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['{test,lab,examples}/**/*.test.ts'],
          exclude: [...never, killLoops, pythonTests, ...builds],
          testTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'builds',
          include: builds,
          testTimeout: 60_000,
          fileParallelism: false,
          sequence: { groupOrder: 4 },
        },
      },
      {
        extends: true,
        test: {
          name: 'python',
          include: [pythonTests],
          exclude: never,
          testTimeout: 120_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'kill',
          include: [killLoops],
          exclude: never,
          testTimeout: 600_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})

export default config
