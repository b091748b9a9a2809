/** Everything that is wrong with a configuration, one line each. */
export class ConfigError extends Error {
  readonly code = 'OFFPATH_CONFIG'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}
