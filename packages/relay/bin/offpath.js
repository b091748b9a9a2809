#!/usr/bin/env node
// Old JavaScript apart from import(): an older Node must reach the check before it meets new syntax.
var parts = process.version.slice(1).split('.')
var major = Number(parts[0])
var minor = Number(parts[1])

if (major < 22 || (major === 22 && minor < 18)) {
  console.error('offpath: needs Node 22.18 or newer, and this is ' + process.version)
  process.exit(1)
}

import('#cli').catch((error) => {
  // A fresh workspace has no dist yet.
  if (error.code === 'ERR_MODULE_NOT_FOUND' && /\/dist\/cli\.js$/.test(error.url)) {
    console.error(
      'offpath: not built yet: `npm run build`, or run it with node --conditions=offpath-source',
    )
    process.exit(1)
  }
  throw error
})
