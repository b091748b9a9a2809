/**
 * Runs the unit tests of the SDK and the relay, without the kill loops, on the older Nodes we support: on the oldest with
 * those that start processes, on the other without (vitest.config.ts). Redis answers each Node alike. The processes run
 * what is built here, as on the machines of users.
 */
import { spawnSync } from 'node:child_process'

// The oldest in `engines`, and the newest 24.
const versions = {
  '22.18.0': ['sdk', 'relay', 'relay-processes'],
  '24.21.0': ['sdk', 'relay'],
}

const { platform, arch } = process
// The registry's names of Node builds differ for one platform, and for Windows.
const family = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node'
const build = `${family}-${platform === 'win32' ? 'win' : platform}-${arch}`

const env = { ...process.env, OFFPATH_TEST_BUILT: 'true' }
const built = spawnSync('npm run build', { shell: true, stdio: 'inherit' })
if (built.status !== 0) process.exit(1)

for (const [version, projects] of Object.entries(versions)) {
  const only = projects.map((name) => ` --project ${name}`).join('')
  const tests = `node_modules/vitest/vitest.mjs run${only}`
  console.log(`\n── Node ${version}`)
  const command = `npm exec --yes --package=${build}@${version} -- node ${tests}`
  const { status } = spawnSync(command, { shell: true, stdio: 'inherit', env })
  if (status !== 0) {
    console.error(`\n── Node ${version} failed: ${command}`)
    process.exit(1)
  }
}
