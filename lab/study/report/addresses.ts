import type { Findings, Row } from './analysis.ts'
import type { Estimate } from './bootstrap.ts'
import type { FittedLine } from './fit.ts'

/** A number with its interval, or a text such as a version. */
export type Found = Estimate | string

/**
 * All that documents may cite from a study, by address:
 *
 *     rag/langfuse-5/p99_ms                             of an arm in a case; names in figure-names.ts
 *     rag/untraced-again/p99_ms                         the second run of the A/A pair
 *     rag/noise/p99_ms                                  how far apart the pair was in a round, at most
 *     sizes/langfuse-5/65536/p99_ms                     sweep over characters of a request
 *     rates/langfuse-5/100/p99_ms                       sweep over requests a second
 *     fit/langfuse-5/longest/slope_ms_per_mb            bytes of a batch against its longest stall; also intercept_ms, r2
 *     fit/langfuse-5/together/slope_ms_per_mb           against all its stalls together
 *     fit/langfuse-5/batches                            also unseen
 *     fit/langfuse-5/vietnamese/longest/slope_ms_per_mb of the batches of one kind of text; also english, intercept_ms, r2
 *     fit/langfuse-5/vietnamese/ms_per_mb               the same in the median, where there is no line; also batches
 *     attributed/rag/langfuse-5/stalls                  also stalled_ms, longest_ms, stalled_share (of the cell's time)
 *     attributed/rag/langfuse-5/thread/<name>/share     of the stalled time; also package/<name>/share
 *     attributed/rag/langfuse-5/overall/<name>/share    of all that was sampled, by package
 *     timeline/longest_ms                               also arm, case
 *     about/rounds                                      also minutes, seed, command, started
 *     machine/cpu                                       also cores, memory_mb, new_page_us, system
 *     versions/<name>
 *
 * `/low` and `/high` behind the address of a number lead to the ends of its interval.
 */
export function addressesOf(findings: Findings): ReadonlyMap<string, Found> {
  const found = new Map<string, Found>()
  const add = (address: string, value: Found | number): void => {
    const estimate = typeof value === 'number' ? { value } : value
    found.set(address, estimate)
    if (typeof estimate === 'string') return
    if (estimate.low !== undefined) found.set(`${address}/low`, { value: estimate.low })
    if (estimate.high !== undefined) found.set(`${address}/high`, { value: estimate.high })
  }
  const addRow = (prefix: string, row: Row): void => {
    for (const [name, figure] of Object.entries(row.figures)) add(`${prefix}/${name}`, figure)
  }
  const addLine = (prefix: string, line: FittedLine): void => {
    add(`${prefix}/slope_ms_per_mb`, line.slopeMsPerMb)
    add(`${prefix}/intercept_ms`, line.interceptMs)
    add(`${prefix}/r2`, line.r2)
  }
  for (const row of findings.rows) addRow(`${row.case}/${row.id}`, row)
  for (const noise of findings.noise) {
    for (const [name, value] of Object.entries(noise.figures)) {
      add(`${noise.case}/noise/${name}`, value)
    }
  }
  for (const row of findings.sweeps) addRow(`${row.part}/${row.id}/${row.at}`, row)
  for (const fit of findings.fits) {
    const prefix = `fit/${fit.arm}`
    addLine(`${prefix}/longest`, fit.longest)
    if (fit.together !== undefined) addLine(`${prefix}/together`, fit.together)
    add(`${prefix}/batches`, fit.points.length)
    add(`${prefix}/unseen`, fit.unseen)
    for (const kind of fit.kinds) {
      if (kind.longest !== undefined) addLine(`${prefix}/${kind.name}/longest`, kind.longest)
      if (kind.msPerMb !== undefined) add(`${prefix}/${kind.name}/ms_per_mb`, kind.msPerMb)
      add(`${prefix}/${kind.name}/batches`, kind.batches)
    }
  }
  for (const each of findings.attributed) {
    const prefix = `attributed/${each.case}/${each.arm}`
    add(`${prefix}/stalls`, each.stalls)
    add(`${prefix}/stalled_ms`, each.stalledMs)
    add(`${prefix}/longest_ms`, each.longestMs)
    add(`${prefix}/stalled_share`, each.stalledMs / (each.seconds * 1000))
    for (const { name, share } of each.threads) add(`${prefix}/thread/${name}/share`, share)
    for (const { name, share } of each.packages) add(`${prefix}/package/${name}/share`, share)
    for (const { name, share } of each.overall) add(`${prefix}/overall/${name}/share`, share)
  }
  if (findings.timeline !== undefined) {
    add('timeline/longest_ms', findings.timeline.longestMs)
    add('timeline/arm', findings.timeline.arm)
    add('timeline/case', findings.timeline.case)
  }
  const { about } = findings
  add('about/rounds', about.rounds)
  add('about/minutes', about.minutes)
  add('about/seed', about.seed)
  add('about/command', about.command)
  add('about/started', about.startedAt.slice(0, 10))
  add('machine/cpu', about.machine.cpu)
  add('machine/cores', about.machine.cores)
  add('machine/memory_mb', about.machine.memoryMb)
  add('machine/system', about.machine.system)
  if (about.machine.newPageUs !== undefined) add('machine/new_page_us', about.machine.newPageUs)
  for (const [name, version] of Object.entries(about.versions)) add(`versions/${name}`, version)
  return found
}
