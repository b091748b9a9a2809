import type { Findings, SweepRow } from './analysis.ts'
import { attributionCharts } from './charts/of-attribution.ts'
import { caseCharts } from './charts/of-case.ts'
import { fitCharts, stallCharts, sweepCharts } from './charts/of-study.ts'
import { type Chart, escapeText, type LegendEntry } from './charts/svg.ts'
import { STYLE } from './style.ts'
import {
  armsTable,
  cpuTable,
  fitTable,
  functionsTable,
  kindsTable,
  lagTable,
  latencyTable,
  skippedTable,
  splitTable,
  sweepTable,
  type Table,
  type TableCell,
} from './tables.ts'
import {
  aboutOf,
  attributedText,
  caseText,
  fitText,
  KINDS_TEXT,
  methodOf,
  QUICK_TEXT,
  STALLS_TEXT,
  STUDIES,
  SWEEPS,
  splitText,
  titleOfReport,
} from './words.ts'

interface Section {
  readonly id: string
  readonly title: string
  readonly charts: readonly Chart[]
  readonly body: string
}

/** One file with all in it. @param method link to docs/method.md from where the report will stand */
export function asHtml(findings: Findings, method: string): string {
  const { about } = findings
  const title = titleOfReport(findings)
  const sections = sectionsOf(findings, method).filter((section) => section.body !== '')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<nav aria-label="Contents"><p>${escapeText(STUDIES[about.study])}</p><ul>
${sections.map(contentsOf).join('\n')}
</ul></nav>
<main>
<h1>${escapeText(title)}</h1>
${about.quick ? `<p class="warning">${escapeText(QUICK_TEXT)}</p>` : ''}
${sections.map(({ id, title: heading, body }) => `<section id="${escapeText(id)}"><h2>${escapeText(heading)}</h2>${body}</section>`).join('\n')}
</main>
</body>
</html>
`
}

function contentsOf({ id, title, charts }: Section): string {
  const inner = charts.map(
    (chart) => `<li><a href="#${escapeText(chart.id)}">${escapeText(chart.name)}</a></li>`,
  )
  const list = inner.length > 1 ? `<ul>${inner.join('')}</ul>` : ''
  return `<li><a href="#${escapeText(id)}">${escapeText(title)}</a>${list}</li>`
}

function sectionsOf(findings: Findings, method: string): Section[] {
  const stalls = stallCharts(findings)
  const attribution = attributionCharts(findings)
  const fits = fitCharts(findings)
  const kinds = kindsTable(findings)
  return [
    {
      id: 'about',
      title: 'Machine and method',
      charts: [],
      body: `${table({ header: [], rows: aboutOf(findings), texts: 2 })}<ul>${methodOf(findings)
        .map((text) => `<li>${escapeText(text)}</li>`)
        .join(
          '',
        )}</ul><p>The reasons are in <a href="${escapeText(method)}">docs/method.md</a>.</p>`,
    },
    {
      id: 'stalls',
      title: 'One stall, from near',
      charts: stalls,
      body: stalls.map(figure).join(''),
    },
    ...findings.cases.map((each): Section => {
      const charts = caseCharts(findings, each.name)
      const split = splitTable(findings, each.name)
      return {
        id: `case-${each.name}`,
        title: each.title,
        charts,
        body: [
          paragraph(caseText(findings, each.name)),
          ...charts.map(figure),
          folded(
            'Latency and delivery, in figures',
            table(latencyTable(findings, each.name)),
            true,
          ),
          folded(
            'CPU and memory, in figures',
            `${paragraph('CPU per request above the compared arm; in round brackets that of an arm that is compared with none.')}${table(cpuTable(findings, each.name))}`,
          ),
          folded('What held the loop, in figures', table(lagTable(findings, each.name))),
          split.rows.length === 0
            ? ''
            : folded(
                'Where a request’s excess goes, in figures',
                `${paragraph(splitText(findings))}${table(split)}`,
              ),
        ].join(''),
      }
    }),
    {
      id: 'batches',
      title: 'Bytes of a batch against the stall',
      charts: fits,
      body:
        fits.length === 0
          ? ''
          : `${paragraph(fitText(findings))}${fits.map(figure).join('')}${folded('In figures', table(fitTable(findings)))}${kinds.rows.length === 0 ? '' : folded('By kind of text', `${paragraph(KINDS_TEXT)}${table(kinds)}`)}`,
    },
    sweepSection(findings, 'sizes'),
    sweepSection(findings, 'rates'),
    {
      id: 'attribution',
      title: 'Who ran in the stalls',
      charts: attribution,
      body:
        findings.attributed.length === 0
          ? ''
          : [
              paragraph(STALLS_TEXT),
              ...attribution.map(figure),
              ...findings.attributed.map((each) => {
                const { heading, text } = attributedText(findings, each)
                const functions = each.functions.length === 0 ? '' : table(functionsTable(each))
                return folded(heading, `${paragraph(text)}${functions}`)
              }),
            ].join(''),
    },
    {
      id: 'arms',
      title: 'The arms',
      charts: [],
      body: [
        table(armsTable(findings)),
        findings.skipped.length === 0
          ? ''
          : `<h3>Did not run here</h3>${table(skippedTable(findings))}`,
      ].join(''),
    },
  ]
}

function sweepSection(findings: Findings, part: SweepRow['part']): Section {
  const charts = sweepCharts(findings, part)
  return {
    id: `sweep-${part}`,
    title: SWEEPS[part],
    charts,
    body:
      charts.length === 0
        ? ''
        : `${charts.map(figure).join('')}${folded('In figures', table(sweepTable(findings, part)))}`,
  }
}

function figure({ id, title, how, legend, svg }: Chart): string {
  return `<figure id="${escapeText(id)}"><h3>${escapeText(title)}</h3><figcaption>${escapeText(how)}</figcaption>${legendOf(legend)}<div class="drawing">${svg}</div></figure>`
}

function legendOf(legend: readonly LegendEntry[]): string {
  if (legend.length === 0) return ''
  const entries = legend.map(
    ({ text, mark, kind }) =>
      `<li><i class="${kind} ${escapeText(mark)}"></i>${escapeText(text)}</li>`,
  )
  return `<ul class="legend">${entries.join('')}</ul>`
}

function folded(title: string, body: string, open = false): string {
  return `<details${open ? ' open' : ''}><summary>${escapeText(title)}</summary>${body}</details>`
}

function paragraph(text: string): string {
  return `<p>${escapeText(text)}</p>`
}

function table({ header, rows, texts }: Table): string {
  // Names beside figures stand on one line, prose and the names of functions may be long.
  const text = texts > 2 || header.length === 0 ? 'text wrap' : 'text'
  const kind = (column: number): string => (column < texts ? ` class="${text}"` : '')
  const head =
    header.length === 0
      ? ''
      : `<thead><tr>${header.map((cell, at) => `<th${kind(at)}>${escapeText(cell)}</th>`).join('')}</tr></thead>`
  const lines = rows.map(
    (row) => `<tr>${row.map((cell, at) => `<td${kind(at)}>${cellOf(cell)}</td>`).join('')}</tr>`,
  )
  return `<div class="scroll"><table>${head}<tbody>${lines.join('')}</tbody></table></div>`
}

function cellOf(cell: TableCell): string {
  if (typeof cell === 'string') return escapeText(cell)
  return `<${cell.as}>${escapeText(cell.text)}</${cell.as}>`
}
