import { readFileSync, writeFileSync } from 'node:fs'
import { type Profiler, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import type { AttributedStall, Attribution, Share, Stall } from '../results.ts'

/** V8's own is 1000 µs. */
const INTERVAL_US = 500
/** Whoever runs is sampled, the garbage collector too: after so long without a sample the thread had no core. */
const GAP_MS = 10 * (INTERVAL_US / 1000)
const STALL_MS = 20
const SHARES_OF_A_STALL = 10
const SHARES_OVER_ALL = 40

/** A profile as other tools read it (`.cpuprofile`), and where it stands in time, ms since 1970. */
export interface RecordedProfile extends Profiler.Profile {
  readonly lab: {
    /** When the profile's clock, µs, was 0. */
    readonly zero: number
    /** What was measured. */
    readonly from: number
    readonly to: number
  }
}

/** Profiles this process from now on. Starting holds the loop for some 100 ms. */
export function startProfile(): {
  /** Ends it, and writes what happened between two times to a file. */
  write(path: string, from: number, to: number): void
} {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
  session.post('Profiler.start')
  return {
    write(path, from, to) {
      // Both clocks are the system's monotonic one, where the profile has an origin of its own.
      const zero =
        performance.timeOrigin + performance.now() - Number(process.hrtime.bigint()) / 1e6
      session.post('Profiler.stop', (error, result) => {
        if (error !== null) throw error
        const recorded: RecordedProfile = { ...result.profile, lab: { zero, from, to } }
        writeFileSync(path, JSON.stringify(recorded))
      })
    },
  }
}

/** What a profile that a service wrote says of its stalls. */
export function attributeProfile(
  path: string,
  stalls: readonly Stall[],
): Pick<Attribution, 'stalls' | 'overall'> {
  return attribute(JSON.parse(readFileSync(path, 'utf8')) as RecordedProfile, stalls)
}

/** Who ran in the stalls above 20 ms, and over all that was measured. A sample counts for the time until the next one. */
export function attribute(
  profile: RecordedProfile,
  stalls: readonly Stall[],
): Pick<Attribution, 'stalls' | 'overall'> {
  const { zero, from, to } = profile.lab
  const places = placesOf(profile.nodes)
  const { samples = [], timeDeltas = [] } = profile
  const startedAt = new Float64Array(samples.length + 1)
  let us = profile.startTime
  for (const [at, delta] of timeDeltas.entries()) {
    us += delta
    startedAt[at] = zero + us / 1000
  }
  startedAt[samples.length] = zero + profile.endTime / 1000

  const between = (begin: number, end: number, most: number, idle?: Place): Share[] => {
    const sums = new Map<string, { place: Place; ms: number }>()
    const add = (place: Place | undefined, since: number, until: number): void => {
      const ms = Math.min(end, until) - Math.max(begin, since)
      if (ms <= 0 || place === undefined) return
      const key = `${place.package} ${place.function}`
      const sum = sums.get(key) ?? { place, ms: 0 }
      sum.ms += ms
      sums.set(key, sum)
    }
    for (const [at, node] of samples.entries()) {
      const since = startedAt[at]!
      const until = startedAt[at + 1]!
      const place = places.get(node) ?? idle
      const known = Math.min(until, since + GAP_MS)
      add(place, since, known)
      add(place && NOT_RUNNING, known, until)
    }
    return [...sums.values()]
      .sort((a, b) => b.ms - a.ms)
      .slice(0, most)
      .map(({ place, ms }) => ({ thread: 'main', ...place, ms: Math.round(ms * 100) / 100 }))
  }
  return {
    stalls: stalls
      .filter(([, ms]) => ms > STALL_MS)
      .map(
        ([endedAt, ms]): AttributedStall => ({
          endedAt,
          ms,
          // A timer was due all the while: who idles then has not been woken.
          shares: between(endedAt - ms, endedAt, SHARES_OF_A_STALL, NOT_RUNNING),
        }),
      ),
    overall: between(from, to, SHARES_OVER_ALL),
  }
}

type Place = Pick<Share, 'package' | 'function'>

const NOT_RUNNING: Place = { package: '(not running)', function: '(no core, no sample)' }

/**
 * Where the time of each node belongs; nothing for idling. What V8 and Node themselves do, such as JSON.stringify or a
 * write to a socket, belongs to the package that called it, where one did.
 */
function placesOf(nodes: readonly Profiler.ProfileNode[]): Map<number, Place> {
  const places = new Map<number, Place>()
  const children = new Map(nodes.map((node) => [node.id, node.children ?? []]))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const walk = (id: number, above: Place | undefined): void => {
    const node = byId.get(id) as Profiler.ProfileNode
    const place = placeOf(node.callFrame, above)
    if (place !== undefined) places.set(id, place)
    for (const child of children.get(id) ?? []) walk(child, place)
  }
  if (nodes[0] !== undefined) walk(nodes[0].id, undefined)
  return places
}

function placeOf(
  { functionName, url, lineNumber }: Profiler.ProfileNode['callFrame'],
  above: Place | undefined,
): Place | undefined {
  if (url === '' || url.startsWith('wasm:')) {
    if (functionName === '(garbage collector)') {
      return { package: 'garbage collection', function: functionName }
    }
    if (functionName === '(program)') return { package: '(program)', function: functionName }
    return above
  }
  if (url.startsWith('node:') && above !== undefined && above.package !== 'node') return above
  const { package: name, file } = fileOf(url)
  const where = `${file}:${lineNumber + 1}`
  return { package: name, function: `${functionName || '(anonymous)'} (${where})` }
}

function fileOf(url: string): { package: string; file: string } {
  if (url.startsWith('node:')) return { package: 'node', file: url.slice('node:'.length) }
  const path = url.startsWith('file:') ? fileURLToPath(url) : url
  const installed = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)/.exec(path)
  if (installed !== null) return { package: installed[1]!, file: installed[2]! }
  const own = /.*\/packages\/sdk\/(.*)/.exec(path)
  if (own !== null) return { package: '@offpath/sdk', file: own[1]! }
  return { package: 'application', file: path.replace(/.*\//, '') }
}
