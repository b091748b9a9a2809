// Old JavaScript on purpose: it has to run, and to say so, on any Node that finds it.
var parts = process.version.slice(1).split('.')
var major = Number(parts[0])
var minor = Number(parts[1])

if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    'offpath: Node ' +
      process.version +
      ' is too old (22.18 or newer is needed). The workspace brings its own: run `npm rebuild node`, then try again.',
  )
  process.exit(1)
}
