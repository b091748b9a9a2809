/**
 * The streams that spans go through, one for each partition. In braces is what a cluster finds the node by: streams may
 * lie on different nodes, and all commands name one stream alone.
 */
export function streamsOf(stream: string, partitions: number): string[] {
  return Array.from({ length: partitions }, (_, n) => `${stream}:{${n}}`)
}

/** Where entries and spans go that no exporter can get rid of. */
export function deadStreamOf(stream: string): string {
  return `${stream}:dead`
}

/** Names of an entry's fields. */
export const FIELDS = { version: 'v', spans: 's' } as const
