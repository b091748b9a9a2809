import { parseArgs } from 'node:util'
import { readBehaviour, settingNames } from './behaviour.ts'
import { startSimulator } from './server.ts'

const names = ['host', 'port', 'model', ...settingNames]

try {
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
  })
  const setting = (name: string): string | undefined =>
    (values[name] as string | undefined) ??
    process.env[`SIM_${name.toUpperCase().replaceAll('-', '_')}`]

  const simulator = await startSimulator({
    ...readBehaviour(setting),
    host: setting('host') ?? '127.0.0.1',
    port: Number(setting('port') ?? 8000),
    model: setting('model') ?? 'Qwen/Qwen3-8B',
  })
  console.log(JSON.stringify({ ready: true, url: simulator.url }))

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void simulator.close())
  }
} catch (error) {
  const { message, code } = error as NodeJS.ErrnoException
  const flags = names.map((name) => `--${name}`).join(', ')
  const wrongFlag = code?.startsWith('ERR_PARSE_ARGS_')
  console.error(wrongFlag ? `${message.replace(/\. .*/s, '')}; there are ${flags}` : message)
  process.exitCode = wrongFlag ? 2 : 1
}
