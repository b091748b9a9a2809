import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Results } from '../results.ts'
import { addressesOf, type Found } from './addresses.ts'
import { findingsOf } from './analysis.ts'
import { type BenchResult, benchAddressesOf, isBenchResult } from './bench-addresses.ts'
import { FigureError, fillFigures, type LookUp, lookUpIn } from './figures.ts'

const root = join(import.meta.dirname, '../../..')

/** The documents that take figures from docs/results. */
const DOCUMENTS = [
  'docs/answers.md',
  'docs/answers.vi.md',
  'docs/answers-settings.md',
  'docs/answers-settings.vi.md',
  'docs/playbook.md',
  'docs/playbook.vi.md',
  'docs/method.md',
  'docs/capacity.md',
  'README.md',
]

/**
 * Fills the figures of the documents from the runs in docs/results.
 *
 * @param write whether to write them; else it only looks
 * @returns the documents whose figures are not those of the results (written, when `write`)
 * @throws FigureError, with the document
 */
export function fillDocuments(write: boolean): string[] {
  const lookUp = lookUpInResults(join(root, 'docs/results'))
  return DOCUMENTS.filter((document) => {
    const path = join(root, document)
    const text = readFileSync(path, 'utf8')
    const filled = filledOf(document, text, lookUp)
    if (filled === text) return false
    if (write) writeFileSync(path, filled)
    return true
  })
}

function filledOf(document: string, text: string, lookUp: LookUp): string {
  try {
    return fillFigures(text, lookUp)
  } catch (error) {
    if (error instanceof FigureError) throw new FigureError(`${document}, ${error.message}`)
    throw error
  }
}

/** The folder's runs, each read when it is first asked for: findings of a full run take a second. */
function lookUpInResults(folder: string): LookUp {
  const studies = new Map<string, ReadonlyMap<string, Found>>()
  return lookUpIn((study) => {
    const path = join(folder, `${study}.json`)
    if (!/^[a-z-]+$/.test(study) || !existsSync(path)) {
      throw new FigureError(
        `no ${study}: an address begins with the name of a run, and needs docs/results/${study}.json`,
      )
    }
    let found = studies.get(study)
    if (found === undefined) {
      const result = JSON.parse(readFileSync(path, 'utf8')) as Results | BenchResult
      found = isBenchResult(result) ? benchAddressesOf(result) : addressesOf(findingsOf(result))
      studies.set(study, found)
    }
    return found
  })
}
