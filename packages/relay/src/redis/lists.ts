/** Keys of a list that relays take from. All of them lie in one slot of a cluster: BLMOVE asks for that. */
export interface ListKeys {
  /** What applications push to. */
  readonly list: string
  /** What a relay has taken and not written yet. */
  readonly processing: (relay: string) => string
  /** A relay's sign of life: it expires. */
  readonly life: (relay: string) => string
  /** Set of the relays that have a list of what they have taken, or may have. */
  readonly relays: string
  /** Stream of what was no record. */
  readonly dead: string
}

export function listKeysOf(list: string): ListKeys {
  // What a cluster hashes: what stands in the first braces, or all of the key.
  const base = /\{[^}]+\}/.test(list) ? list : `{${list}}`
  return {
    list,
    processing: (relay) => `${base}:processing:${relay}`,
    life: (relay) => `${base}:relay:${relay}`,
    relays: `${base}:relays`,
    dead: `${base}:dead`,
  }
}
