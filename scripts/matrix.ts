/** Runs the unit tests of the SDK and the relay, without the kill loops, on the older Nodes we support. */
import { spawnSync } from 'node:child_process'

// The oldest in `engines`, and the newest 24.
const versions = ['22.18.0', '24.21.0']

const { platform, arch } = process
// The registry's names of Node builds differ for one platform, and for Windows.
const family = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node'
const build = `${family}-${platform === 'win32' ? 'win' : platform}-${arch}`

const tests = 'node_modules/vitest/vitest.mjs run --project sdk --project relay'

for (const version of versions) {
  console.log(`\n── Node ${version}`)
  const command = `npm exec --yes --package=${build}@${version} -- node ${tests}`
  const { status } = spawnSync(command, { shell: true, stdio: 'inherit' })
  if (status !== 0) {
    console.error(`\n── Node ${version} failed: ${command}`)
    process.exit(1)
  }
}
