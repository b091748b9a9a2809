/**
 * The streams that spans go through, one for each partition. In braces is what a cluster finds the node by: streams may
 * lie on different nodes, and all commands name one stream alone.
 */
export function streamsOf(stream: string, partitions: number): string[] {
  return Array.from({ length: partitions }, (_, n) => `${stream}:{${n}}`)
}

/** The one that scores go through: they are few, and those of one id must stay in their order. */
export function scoreStreamOf(stream: string): string {
  return `${stream}:scores`
}

/** Where entries, spans and scores go that no exporter can get rid of. */
export function deadStreamOf(stream: string): string {
  return `${stream}:dead`
}

/** Names of an entry's fields. */
export const FIELDS = {
  version: 'v',
  spans: 's',
  /** Each on a line, as JSON. */
  scores: 'scores',
  /** Of the scores; none: they name none. */
  project: 'project',
  /** The only exporter that it is for; none: it is for all. */
  only: 'for',
} as const
