import { expect, test } from 'vitest'
import { parseArguments } from './arguments.ts'
import { UsageError } from './call.ts'
import { COMMANDS } from './commands.ts'
import { commandHelp } from './help.ts'

test('commands, words, flags and options, in any order', () => {
  const args = parseArguments(['--json', 'spool', 'verify', 'a.seg', '--store-dir=/s'])
  expect(args.command?.name).toBe('spool verify')
  expect(args.words).toEqual(['a.seg'])
  expect([...args.flags]).toEqual([['json', '']])
  expect([...args.options]).toEqual([['store.dir', '/s']])
  expect([...parseArguments(['ls', '-n', '5']).flags]).toEqual([['limit', '5']])
  expect(parseArguments(['spool', 'verify', '--', '--odd.seg']).words).toEqual(['--odd.seg'])
  expect(parseArguments([]).command).toBeUndefined()
  expect([...parseArguments(['show', '-h']).flags]).toEqual([['help', '']])
})

test.each<[string[], string, string | undefined]>([
  [['frobnicate'], 'unknown command "frobnicate"', undefined],
  [['spool'], 'spool: which one? There are spool ls, spool verify', undefined],
  [
    ['spool', 'verfy', 'x'],
    'unknown command "spool verfy" (did you mean spool verify?); there are spool ls, spool verify',
    undefined,
  ],
  [['--limit', '3'], 'unknown flag --limit', undefined],
  [['up', '--stor-dir', '/x'], 'unknown flag --stor-dir of up (did you mean --store-dir?)', 'up'],
  [['up', '--port', '1'], 'unknown flag --port of up (did you mean --http-port?)', 'up'],
  [['ls', '-x'], 'unknown flag -x of ls', 'ls'],
  [['ls', '--limit'], '--limit needs a value', 'ls'],
  [['ls', '--store-dir='], '--store-dir needs a value', 'ls'],
  [['ls', '--json=1'], '--json takes no value', 'ls'],
  [['show'], '<trace> is missing', 'show'],
  [['ls', 'x'], 'too many words: "x"', 'ls'],
])('%j is refused', (argv, message, command) => {
  try {
    parseArguments(argv)
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError)
    expect(error).toMatchObject({ message, command })
    return
  }
  throw new Error('was taken')
})

test('every command has help with its flags', () => {
  for (const command of COMMANDS) {
    const help = commandHelp(command)
    for (const flag of Object.keys(command.flags)) expect(help).toContain(`--${flag}`)
    expect(help).toContain('--json')
    for (const line of help.split('\n')) expect(line.length).toBeLessThan(125)
  }
})
