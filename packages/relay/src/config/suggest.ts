/**
 * The candidate that a misspelt word was probably meant to be: the nearest one, if a third of the
 * letters or fewer differ, or the only one that ends in `.word` or `-word`.
 */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  const wanted = word.toLowerCase()
  let best: string | undefined
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const candidate of candidates) {
    const edits = distance(wanted, candidate.toLowerCase())
    if (edits < least) {
      least = edits
      best = candidate
    }
  }
  if (best !== undefined) return best
  const tail = wanted.replace(/^-+/, '')
  const tails = candidates.filter((name) => endsIn(name, tail))
  return tails.length === 1 ? tails[0] : undefined
}

/** ` (did you mean x?)`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[], prefix = ''): string {
  const found = suggest(word, candidates)
  return found === undefined ? '' : ` (did you mean ${prefix}${found}?)`
}

function endsIn(name: string, tail: string): boolean {
  return tail !== '' && (name.endsWith(`.${tail}`) || name.endsWith(`-${tail}`))
}

/** Edits (insert, delete, replace, swap neighbours) between two words; long ones count as far apart. */
function distance(a: string, b: string): number {
  if (a.length > 64 || b.length > 64) return 64
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let edits = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, before[j - 2]! + 1)
      }
      row.push(edits)
    }
    before = above
    above = row
  }
  return above[b.length]!
}
