import type { Findings, SweepRow } from './analysis.ts'
import type { Attributed } from './attribution.ts'
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
  SWEEPS,
  splitText,
  titleOfReport,
} from './words.ts'

/** @param method link to docs/method.md from where the report will stand */
export function asMarkdown(findings: Findings, method: string): string {
  const { about } = findings
  const parts = [
    `# ${titleOfReport(findings)}`,
    ...(about.quick ? [`**${QUICK_TEXT}**`] : []),
    table({ header: ['', ''], rows: aboutOf(findings), texts: 2 }),
    '## Method',
    [...methodOf(findings).map(escaped), `The reasons are in [docs/method.md](${method}).`]
      .map((line) => `- ${line}`)
      .join('\n'),
    ...findings.cases.flatMap((each) => caseSection(findings, each.name)),
    ...(findings.fits.length === 0
      ? []
      : [
          '## Bytes of a batch against the stall',
          escaped(fitText(findings)),
          table(fitTable(findings)),
          ...(kindsTable(findings).rows.length === 0
            ? []
            : [escaped(KINDS_TEXT), table(kindsTable(findings))]),
        ]),
    ...sweepSection(findings, 'sizes'),
    ...sweepSection(findings, 'rates'),
    ...attributionSection(findings),
    '## The arms',
    table(armsTable(findings)),
    ...(findings.skipped.length === 0
      ? []
      : ['### Did not run here', table(skippedTable(findings))]),
  ]
  return `${parts.join('\n\n')}\n`
}

function caseSection(findings: Findings, name: string): string[] {
  const split = splitTable(findings, name)
  return [
    `## ${escaped(findings.cases.find((each) => each.name === name)?.title ?? name)}`,
    escaped(caseText(findings, name)),
    '### Latency and delivery',
    table(latencyTable(findings, name)),
    '### CPU and memory',
    'CPU per request above the compared arm; in round brackets that of an arm that is compared with none.',
    table(cpuTable(findings, name)),
    '### What held the loop',
    table(lagTable(findings, name)),
    ...(split.rows.length === 0
      ? []
      : ['### Where a request’s excess goes', escaped(splitText(findings)), table(split)]),
  ]
}

function sweepSection(findings: Findings, part: SweepRow['part']): string[] {
  const sweep = sweepTable(findings, part)
  return sweep.rows.length === 0 ? [] : [`## ${SWEEPS[part]}`, table(sweep)]
}

function attributionSection(findings: Findings): string[] {
  if (findings.attributed.length === 0) return []
  return [
    '## Who ran in the stalls',
    escaped(STALLS_TEXT),
    ...findings.attributed.flatMap((each) => attributedSection(findings, each)),
  ]
}

function attributedSection(findings: Findings, each: Attributed): string[] {
  const { heading, text } = attributedText(findings, each)
  return [
    `### ${escaped(heading)}`,
    escaped(text),
    ...(each.functions.length === 0 ? [] : [table(functionsTable(each))]),
  ]
}

function table({ header, rows, texts }: Table): string {
  const rule = header.map((_, column) => (column < texts ? '---' : '---:'))
  const lines = [header.map(escaped), rule, ...rows.map((row) => row.map(cellText))]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function cellText(cell: TableCell): string {
  if (typeof cell === 'string') return escaped(cell)
  if (cell.as === 'code') return `\`${cell.text}\``
  const mark = cell.as === 'strong' ? '**' : '*'
  return `${mark}${escaped(cell.text)}${mark}`
}

/** Text that Markdown takes as it is, in a table too. */
function escaped(value: string): string {
  return value.replace(/[\\`*_<>|~]/g, '\\$&').replace(/\s+/g, ' ')
}
