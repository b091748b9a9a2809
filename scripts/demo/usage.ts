import { parseArgs } from 'node:util'

const USAGE = `Usage: npm start -- [--once] [--data <folder>] [--seed <n>]

Builds, starts the relay, a vLLM-compatible server and the chat API, sends it 60 requests, and shows what was recorded.
It stays up until Ctrl-C.

  --once           end by itself: exit code 0 only if every request's trace is complete and every observation counted
  --data <folder>  where the data is kept (default .offpath)
  --seed <n>       of the requests' texts (default 1)

VLLM_URL names a real vLLM; LANGFUSE_BASE_URL, LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY a Langfuse.`

export interface Usage {
  readonly once: boolean
  readonly data: string
  readonly seed: number
}

/** Reads the command line. Help, or what is wrong with it, ends the process. */
export function readUsage(): Usage {
  const { once, data, seed, help } = parse()
  if (help) {
    console.log(USAGE)
    process.exit(0)
  }
  if (!/^\d{1,9}$/.test(seed)) complain(`--seed ${seed}: it takes a whole number from 0 up`)
  if (data === '') complain('--data needs a folder')
  return { once, data, seed: Number(seed) }
}

function parse() {
  try {
    return parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        data: { type: 'string', default: '.offpath' },
        seed: { type: 'string', default: '1' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    return complain((error as Error).message.replace(/\. .*/s, ''))
  }
}

function complain(message: string): never {
  console.error(`${message}; \`npm start -- --help\` lists what there is`)
  process.exit(2)
}
