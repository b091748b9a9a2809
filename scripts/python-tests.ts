/**
 * Runs the tests of clients/python that need the standard library alone, with each Python from 3.10 on that this machine
 * has. Without any it says so and passes: who has no Python changes nothing of that client.
 */
import { findPythons, runInClient } from './pythons.ts'

const found = findPythons()
if (found.size === 0) {
  console.log('no Python from 3.10 on: the tests of clients/python are left out')
}
const unittest = ['-m', 'unittest', 'discover', '-q', '-s', 'tests', '-t', '.']
for (const [minor, command] of found) runInClient(`Python 3.${minor}`, command, unittest)
