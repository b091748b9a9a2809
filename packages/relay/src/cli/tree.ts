import type { Observation } from '../http/shapes.ts'

/** A line of the tree. */
export interface Branch {
  readonly observation: Observation
  /** `│  ├─ ` before its name. */
  readonly lead: string
  /** `│  │  ` before further lines about it. */
  readonly below: string
  /** Its parent is named and is not here. */
  readonly orphan: boolean
}

/** Deeper ones are drawn at this depth: a terminal has no room for more. */
const MAX_DEPTH = 24

/**
 * Observations in the order they are drawn: children under their parents, by start. All come once, whatever
 * their parent ids say; no recursion, for a chain may be as long as a trace.
 */
export function branches(observations: readonly Observation[]): Branch[] {
  const byId = new Map(observations.map((observation) => [observation.id, observation]))
  const children = new Map<string, Observation[]>()
  const roots: Observation[] = []
  for (const observation of byStart(observations)) {
    const { parentId, id } = observation
    if (parentId === null || parentId === id || !byId.has(parentId)) roots.push(observation)
    else if (children.has(parentId)) children.get(parentId)!.push(observation)
    else children.set(parentId, [observation])
  }

  const drawn: Branch[] = []
  const seen = new Set<Observation>()
  const draw = (from: readonly Observation[]): void => {
    const stack = from
      .map((observation) => ({ observation, lead: '', below: '', depth: 0 }))
      .reverse()
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { observation, lead, below, depth } = next
      if (seen.has(observation)) continue
      seen.add(observation)
      const inside = children.get(observation.id) ?? []
      const orphan = depth === 0 && observation.parentId !== null
      drawn.push({ observation, lead, below: below + (inside.length > 0 ? '│  ' : '   '), orphan })
      for (let i = inside.length - 1; i >= 0; i--) {
        const last = i === inside.length - 1
        const deep = depth >= MAX_DEPTH
        stack.push({
          observation: inside[i]!,
          lead: deep ? lead : `${below}${last ? '└─ ' : '├─ '}`,
          below: deep ? below : `${below}${last ? '   ' : '│  '}`,
          depth: depth + 1,
        })
      }
    }
  }
  draw(roots)
  // Parents in a circle have no root: any of them will do.
  for (const observation of observations) if (!seen.has(observation)) draw([observation])
  return drawn
}

function byStart(observations: readonly Observation[]): Observation[] {
  // ISO times of one length compare as text, nanoseconds included.
  return observations.toSorted((a, b) =>
    a.startTime < b.startTime ? -1 : a.startTime > b.startTime ? 1 : 0,
  )
}
