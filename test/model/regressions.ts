import type { Step } from './steps.ts'

const observation = { writer: 0, parent: 0, kind: 0, event: false, poison: null } as const

/** Runs that failed once, as short as fast-check could make them. They come first. */
export const regressions: readonly { readonly what: string; readonly steps: readonly Step[] }[] = [
  {
    what: "a preamble's totals say of the frame behind it that it was written",
    steps: [
      { do: 'start', ...observation },
      { do: 'crash', at: 'read', nth: 1 },
      { do: 'spool', fault: 'failing' },
      { do: 'start', ...observation },
      { do: 'deliver', rounds: 1 },
    ],
  },
]
