import packageJson from '../package.json' with { type: 'json' }

const NEEDED = packageJson.engines.node.replace('>=', '')

/** Tells once in a process that its Node is older than what the package is tested with. Most may work all the same. */
export function warnOfOldNode(version: string = process.version): void {
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number)
  const [neededMajor = 0, neededMinor = 0] = NEEDED.split('.').map(Number)
  if (major > neededMajor || (major === neededMajor && minor >= neededMinor)) return
  process.emitWarning(`@offpath/sdk needs Node ${NEEDED} or newer, and this is ${version}`, {
    type: 'OffpathWarning',
    code: 'OFFPATH_NODE',
  })
}
