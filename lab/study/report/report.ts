import { readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import type { Results } from '../results.ts'
import { findingsOf } from './analysis.ts'
import { stallCharts } from './charts/of-study.ts'
import { asHtml } from './html.ts'
import { asMarkdown } from './markdown.ts'
import { asPicture } from './picture.ts'

const root = join(import.meta.dirname, '../../..')

export interface Report {
  readonly markdown: string
  readonly html: string
  /** The longest stall, from near, as a picture; undefined: no SDK as installed held the loop above 10 ms. */
  readonly stall: string | undefined
}

/**
 * What a study found, for people. The same results give the same bytes.
 *
 * @param method link to docs/method.md from where the report will stand; as from docs/results when not given
 */
export function renderReport(results: Results, method = '../method.md'): Report {
  const findings = findingsOf(results)
  const [stall] = stallCharts(findings)
  return {
    markdown: asMarkdown(findings, method),
    html: asHtml(findings, method),
    stall: stall && asPicture(stall),
  }
}

/**
 * Reads raw results, `x.json`, and writes `x.md`, `x.html` and the picture `stall-x.svg` beside them.
 *
 * @returns the paths of what is written
 */
export function writeReport(path: string): string[] {
  const results = JSON.parse(readFileSync(path, 'utf8')) as Results
  if (results.format !== 1) throw new Error(`${path}: no results of format 1`)
  const base = resolve(path).replace(/\.json$/, '')
  const method = relative(dirname(base), join(root, 'docs/method.md')).split(sep).join('/')
  const { markdown, html, stall } = renderReport(results, method)
  writeFileSync(`${base}.md`, markdown)
  writeFileSync(`${base}.html`, html)
  if (stall === undefined) return [`${base}.md`, `${base}.html`]
  const picture = join(dirname(base), `stall-${basename(base)}.svg`)
  writeFileSync(picture, stall)
  return [`${base}.md`, `${base}.html`, picture]
}
