import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import {
  defineConfig,
  type TestProjectConfiguration,
  type TestProjectInlineConfiguration,
  type ViteUserConfig,
} from 'vitest/config'

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

type Test = TestProjectInlineConfiguration['test']

/** Groups run one after the other: units, whole systems, kill loops, and what builds. */
function project(groupOrder: number, testTimeout: number, test: Test): TestProjectConfiguration {
  return { extends: true, test: { ...test, testTimeout, sequence: { groupOrder } } }
}

function unit(name: string, include: string[], but: string[] = []): TestProjectConfiguration {
  return project(1, 20_000, { name, include, exclude: [...never, killLoops, ...but] })
}

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
      unit('sdk', ['packages/sdk/**/*.test.ts']),
      unit('relay', ['packages/relay/**/*.test.ts'], [...processes, ...redis]),
      unit('relay-processes', processes),
      unit('relay-redis', redis),
      project(2, 60_000, {
        name: 'e2e',
        include: ['{test,lab,examples}/**/*.test.ts'],
        exclude: [...never, killLoops, pythonTests, ...builds],
      }),
      project(2, 120_000, {
        name: 'python',
        include: [pythonTests],
        exclude: never,
        hookTimeout: 300_000,
      }),
      project(3, 600_000, { name: 'kill', include: [killLoops], exclude: never }),
      project(4, 60_000, { name: 'builds', include: builds, fileParallelism: false }),
    ],
  },
})

export default config
