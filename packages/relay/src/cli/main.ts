import { createRequire } from 'node:module'
import { isServedByAnother } from '../another-relay.ts'
import { REDIS_UNUSED } from '../config/check-redis.ts'
import { loadProcessConfig } from '../config/config.ts'
import { ConfigError } from '../config/config-error.ts'
import { quietSqliteWarning } from '../quiet-sqlite.ts'
import { type Arguments, parseArguments } from './arguments.ts'
import { UsageError } from './call.ts'
import { commandHelp, overview } from './help.ts'
import { processTerminal, type Terminal } from './terminal.ts'

process.exitCode = await main(process.argv.slice(2), processTerminal())

/**
 * Runs a command line. @returns the exit code: 0 done, 1 failed, 2 wrong usage or configuration, 3 another relay reads
 * the spool
 */
async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  let args: Arguments
  try {
    args = parseArguments(argv)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    const { message, command } = error
    terminal.complain(`offpath: ${message}`)
    terminal.complain(`Run \`offpath ${command === undefined ? '' : `${command} `}--help\`.`)
    return 2
  }
  const { command, words, flags, options } = args
  if (flags.has('version')) {
    const { version } = createRequire(import.meta.url)('offpath/package.json') as {
      version: string
    }
    terminal.print(`${version}\n`)
    return 0
  }
  if (command === undefined || flags.has('help')) {
    terminal.print(command === undefined ? overview() : commandHelp(command))
    return 0
  }

  let spool: string | undefined
  try {
    const loaded = loadProcessConfig(options, flags.get('config'))
    spool = loaded.config['spool.dir']
    if (!command.tellsWarnings) {
      const asksRedis = command.asksRedis && options.has('redis.url')
      for (const warning of loaded.warnings) {
        if (asksRedis && warning.includes(REDIS_UNUSED)) continue
        terminal.complain(`offpath: ${warning}`)
      }
    }
    quietSqliteWarning()
    const { run } = await command.load()
    return await run({ words, flags, json: flags.has('json'), loaded, terminal })
  } catch (error) {
    if (error instanceof ConfigError) {
      for (const problem of error.problems) terminal.complain(`offpath: ${problem}`)
      return 2
    }
    if (error instanceof UsageError) {
      terminal.complain(`offpath: ${error.message}`)
      return 2
    }
    const { code, syscall, message, stack } = error as NodeJS.ErrnoException
    // Errors with our codes are written for users, and those of the system (EROFS, ENOSPC …) name their file; others
    // are faults of ours, and the stack says where.
    const told = code?.startsWith('OFFPATH_') || syscall !== undefined
    terminal.complain(`offpath: ${told ? message : (stack ?? message)}`)
    return spool !== undefined && (await isServedByAnother(error, spool)) ? 3 : 1
  }
}
