import type { DataWriter } from '../store/data-files.ts'
import { fieldWords, NO_FILE, PART, PART_LENGTH, partsAt, partWords } from '../store/layout.ts'

/**
 * Copies what fields from word `from` to `to` have in data files before `file` to the one that is written to, and makes
 * them refer to that. Returns the oldest file that they refer to now.
 */
export function leaveFiles(
  words: Int32Array,
  from: number,
  to: number,
  file: number,
  data: DataWriter,
): number {
  let oldest = NO_FILE
  for (let at = from; at < to; at += fieldWords(words, at)) {
    const payload = partsAt(words, at)
    if (payload === 0) continue
    const end = payload + 2 + (words[payload + 1] as number)
    for (let part = payload + 2; part < end; part += partWords(words[part] as number)) {
      const head = words[part] as number
      if (head >>> 30 !== PART.place) continue
      if ((words[part + 1] as number) < file) {
        const place = data.append(
          data.read({
            file: words[part + 1] as number,
            offset: (words[part + 2] as number) >>> 0,
            length: head & PART_LENGTH,
          }),
        )
        words[part + 1] = place.file
        words[part + 2] = place.offset
      }
      oldest = Math.min(oldest, words[part + 1] as number)
    }
  }
  return oldest
}
