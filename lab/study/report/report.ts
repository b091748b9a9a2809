import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import type { Results } from '../results.ts'
import { findingsOf } from './analysis.ts'
import { asHtml } from './html.ts'
import { asMarkdown } from './markdown.ts'

const root = join(import.meta.dirname, '../../..')

export interface Report {
  readonly markdown: string
  readonly html: string
}

/**
 * What a study found, for people. The same results give the same bytes.
 *
 * @param method link to docs/method.md from where the report will stand; as from docs/results when not given
 */
export function renderReport(results: Results, method = '../method.md'): Report {
  const findings = findingsOf(results)
  return { markdown: asMarkdown(findings, method), html: asHtml(findings, method) }
}

/**
 * Reads raw results, `x.json`, and writes `x.md` and `x.html` beside them.
 *
 * @returns the paths of the two
 */
export function writeReport(path: string): string[] {
  const results = JSON.parse(readFileSync(path, 'utf8')) as Results
  if (results.format !== 1) throw new Error(`${path}: no results of format 1`)
  const base = resolve(path).replace(/\.json$/, '')
  const method = relative(dirname(base), join(root, 'docs/method.md')).split(sep).join('/')
  const { markdown, html } = renderReport(results, method)
  writeFileSync(`${base}.md`, markdown)
  writeFileSync(`${base}.html`, html)
  return [`${base}.md`, `${base}.html`]
}
