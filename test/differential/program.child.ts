/**
 * Runs programs in this process, one after the other: `node program.child.ts langfuse|offpath`, started by
 * run.ts with an IPC channel. It is sent the name of a program and answers when all that the program
 * ended is delivered. It ends when the channel does.
 */
import type { Answer } from './program.ts'
import { programs } from './programs/index.ts'

const { deliver, start } =
  process.argv[2] === 'offpath' ? await import('./offpath.ts') : await import('./langfuse.ts')
start()

process.on('message', async (name) => {
  const reports: Answer['reports'] = []
  let error: string | undefined
  try {
    const program = programs.find((each) => each.name === name)
    if (!program) throw new Error(`no program is called ${JSON.stringify(name)}`)
    await program.run((what, value) => {
      reports.push([what, render(value)])
    })
    await deliver()
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.stack : String(thrown)
  }
  process.send?.({ reports, error } satisfies Answer)
})

// As text, so that undefined and the like stay visible.
function render(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner === undefined || typeof inner === 'function' ? String(inner) : inner,
  )
}
