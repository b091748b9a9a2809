// The oldest Node that has what the relay needs; as in package.json and bin/offpath.js.
export const OLDEST_NODE = '22.18'

export function isOldNode(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE.split('.').map(Number)
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor)
}

export function tooOld(version: string): string {
  return `the relay needs Node ${OLDEST_NODE} or newer, and this is v${version}`
}
