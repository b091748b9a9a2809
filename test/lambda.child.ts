// A runtime for lambda.test.ts: hands each line of stdin to the handler as an event, and prints what it answers.
import { createInterface } from 'node:readline'

const { handler } = await import(process.argv[2] as string)
for await (const line of createInterface(process.stdin)) {
  const context = { getRemainingTimeInMillis: () => 10_000 }
  process.stdout.write(`${JSON.stringify(await handler(JSON.parse(line), context))}\n`)
}
