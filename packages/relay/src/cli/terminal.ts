import { styleText } from 'node:util'

export type Style = Parameters<typeof styleText>[0]

/** Where a command prints. */
export interface Terminal {
  /** Writes to stdout; false: nobody reads any more. */
  print(text: string): boolean
  /** Writes a line to stderr. */
  complain(text: string): void
  /** Columns of the terminal; undefined: stdout is none. */
  readonly columns: number | undefined
  /** The text in a style, or as it is where stdout is no terminal or NO_COLOR is set. */
  style(style: Style, text: string): string
}

/** The process's own terminal. A reader that goes away (`| head`) ends the process quietly. */
export function processTerminal(): Terminal {
  const { stdout, stderr } = process
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  return {
    print: (text) => stdout.write(text),
    complain: (text) => void stderr.write(`${text}\n`),
    columns: stdout.isTTY ? stdout.columns || 80 : undefined,
    style: (style, text) => {
      return stdout.isTTY ? styleText(style, text, { stream: stdout, validateStream: true }) : text
    },
  }
}
