import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { pythonEnvironment } from '../../../scripts/python-environment.ts'
import { findPython } from '../../../scripts/pythons.ts'
import { startPython } from '../../apparatus/processes.ts'
import { UsageError } from '../../command-line.ts'
import type { Arm } from '../arms.ts'
import type { Language } from '../run.ts'
import { PYTHON_ARMS } from './arms.ts'
import { profiler } from './profiler.ts'

const OLDEST_PYTHON = 11
const USUAL = 'langfuse-5'

export const PYTHON: Language = {
  study: 'python',
  arms: PYTHON_ARMS,
  quickArms: ['langfuse-5', 'langfuse-5-flush-10', 'offpath'],
  async prepare(arms, progress) {
    const command = findPython(OLDEST_PYTHON)
    if (command === undefined) throw new UsageError(`no Python from 3.${OLDEST_PYTHON} on is found`)
    const pythons = new Map<string, string>()
    for (const name of new Set(arms.map(environmentOf))) {
      progress(`the virtual environment of ${name}: made when it is not there`)
      const file = join(import.meta.dirname, `requirements-${name}.txt`)
      pythons.set(name, pythonEnvironment(command, file))
    }
    const pythonOf = (arm: Arm): string => pythons.get(environmentOf(arm)) as string
    return {
      versions: versionsOf(pythons),
      startService: (arm, request, env) => {
        const service = join(import.meta.dirname, 'service.py')
        return startPython(pythonOf(arm), service, { ...request, settings: arm.settings }, env)
      },
      profiler: (arm) => profiler(pythonOf(arm)),
    }
  },
}

function environmentOf(arm: Arm): string {
  return arm.environment ?? USUAL
}

/** Of the packages that requirements name, with the environment where there are several. */
function versionsOf(pythons: ReadonlyMap<string, string>): Record<string, string> {
  const versions: Record<string, string> = {}
  for (const [name, python] of pythons) {
    const text = execFileSync(python, ['-c', VERSIONS], { encoding: 'utf8' })
    const found = JSON.parse(text) as Record<string, string>
    for (const [key, version] of Object.entries(found)) {
      versions[key === 'langfuse' ? name : key] = version
    }
  }
  return versions
}

const VERSIONS = `
import json, platform
from importlib.metadata import distributions
names = ("langfuse", "opentelemetry-sdk", "protobuf", "fastapi", "uvicorn", "uvloop", "httpx", "redis", "langchain-core", "py-spy")
found = {each.name: each.version for each in distributions() if each.name in names}
print(json.dumps({"python": platform.python_version()} | found))
`
