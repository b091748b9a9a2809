import { globSync } from 'node:fs'
import { basename } from 'node:path'
import type { UserConfig } from 'tsdown'
import { standalone } from './scripts/standalone.ts'

const shared: UserConfig = {
  format: 'esm',
  platform: 'node',
  target: 'node22.18',
  // Without it the files would be called .mjs and .d.mts.
  fixedExtension: false,
  sourcemap: true,
  dts: true,
  // On a busy machine 20 lines of which plugin took how long would be the first thing that `npm start` shows.
  checks: { bundlerTimings: false },
  // What one package bundles of another comes from its sources: their dist may be stale or missing.
  inputOptions: { resolve: { conditionNames: ['offpath-source', 'import', 'node', 'default'] } },
}

// src/**/x.worker.ts runs in a thread of its own, so it is a file of its own: dist/x.worker.js.
const workers = globSync('packages/relay/src/**/*.worker.ts').map((file): [string, string] => [
  basename(file, '.ts'),
  file.replace(/^.*?src/, 'src'),
])

/** The relay in the Python package: one file for each of its threads, with all that npm would install. */
const bundle = (entry: Record<string, string>): UserConfig => ({
  ...shared,
  cwd: 'packages/relay',
  entry,
  outDir: '../../clients/python/src/offpath/_relay',
  // Each build would remove the other's file.
  clean: false,
  target: 'node24',
  sourcemap: false,
  dts: false,
  deps: { alwaysBundle: /./, onlyBundle: false },
  outputOptions: { codeSplitting: false },
  plugins: [standalone('packages/relay')],
})

const configs: UserConfig[] = [
  {
    ...shared,
    cwd: 'packages/sdk',
    entry: {
      index: 'src/index.ts',
      edge: 'src/edge.ts',
      testing: 'src/testing.ts',
      'spool-format': 'src/spool/format.ts',
    },
  },
  {
    ...shared,
    cwd: 'packages/relay',
    entry: {
      cli: 'src/cli/main.ts',
      index: 'src/index.ts',
      // What startRelay runs, as a process or in a thread.
      'relay-process': 'src/application/relay-process.ts',
      ...Object.fromEntries(workers),
    },
  },
  bundle({ offpath: 'src/cli/main.ts' }),
  ...workers.map((worker) => bundle(Object.fromEntries([worker]))),
]

export default configs
