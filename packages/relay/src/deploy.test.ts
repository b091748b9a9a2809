// The files of deploy/ against the code: what they set is what relay and SDK take, and what they name is there.
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { resolveOptions } from '../../sdk/src/config.ts'
import { loadConfig } from './config/config.ts'
import { parseDuration } from './config/kinds.ts'
import { type Config, flagOf, OPTION_NAMES, optionOf, variableOf } from './config/options.ts'
import { configuredExporters, exportersOf } from './configured-exporters.ts'
import type { Dashboard } from './dashboard.fixture.ts'

const root = join(import.meta.dirname, '../../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const files = [
  ...globSync('deploy/**/*.{json,yml,yaml,service,conf,env}', { cwd: root }),
  'deploy/docker/Dockerfile',
]
const documents = [...files, 'docs/deployment.md', 'docs/metrics.md']

/** The documents of a YAML file. */
function load<T>(file: string): T[] {
  return [...parseAllDocuments(read(file))].map((document) => {
    expect([file, document.errors, document.warnings]).toEqual([file, [], []])
    return document.toJS() as T
  })
}

function found(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, name]) => name as string))].sort()
}

const POOL = 'deploy/kubernetes/pool.yaml'

// --- the ways to run a relay, each as what it sets ---

type Env = Record<string, string>

interface Place {
  readonly env: Env
  readonly user: string | number | undefined
  /** What is shared, by where it is mounted; undefined: all is. */
  readonly mounts: Record<string, string> | undefined
}

interface Way {
  readonly relay: Place
  readonly app: Place
  /** How long the relay may take to end, ms. */
  readonly graceMs: number
}

interface Service {
  readonly environment: Env
  readonly user: string
  readonly volumes: readonly { source: string; target: string }[]
  readonly stop_grace_period?: string
}

function compose(): Way {
  const file = load<{ services: Record<string, Service> }>('deploy/docker/compose.yaml')[0]!
  const placeOf = ({ environment, user, volumes }: Service): Place => ({
    env: Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [name, interpolated(value)]),
    ),
    user,
    mounts: Object.fromEntries(volumes.map(({ source, target }) => [target, source])),
  })
  const { relay, app } = file.services
  const graceMs = parseDuration(relay!.stop_grace_period!)!
  return { relay: placeOf(relay!), app: placeOf(app!), graceMs }
}

/** `${NAME:-otherwise}` and `${NAME:?why not}`, as Compose has them. */
function interpolated(text: string): string {
  return text.replace(/\$\{\w+(?::-([^}]*)|:\?[^}]*)?\}/g, (_, otherwise = 'given') => otherwise)
}

interface Container {
  readonly name: string
  readonly env?: readonly { name: string; value?: string; valueFrom?: { fieldRef?: object } }[]
  readonly ports?: readonly { name: string; containerPort: number }[]
  readonly volumeMounts?: readonly { name: string; mountPath: string }[]
  readonly securityContext?: { runAsUser?: number }
  readonly livenessProbe?: { httpGet: { path: string; port: string } }
}

interface Volume {
  readonly name: string
  readonly hostPath?: { path: string }
}

interface Pod {
  readonly terminationGracePeriodSeconds?: number
  readonly securityContext: { runAsUser: number }
  readonly initContainers?: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes?: readonly Volume[]
}

interface Workload {
  readonly spec: { readonly template: { readonly spec: Pod } }
}

function containersOf(file: string): { pod: Pod; container: Container }[] {
  return load<Workload>(file).flatMap(({ spec }) => {
    const pod = spec.template.spec
    return [...(pod.initContainers ?? []), ...pod.containers].map((container) => {
      return { pod, container }
    })
  })
}

function kubernetes(file: string, relay = 'relay', app = relay === 'relay' ? 'app' : 'relay'): Way {
  const of = (name: string) =>
    containersOf(file).find(({ container }) => container.name === name) as {
      pod: Pod
      container: Container
    }
  const placeOf = ({ pod, container }: ReturnType<typeof of>): Place => ({
    env: Object.fromEntries(
      (container.env ?? []).map(({ name, value, valueFrom }) => [
        name,
        value ?? (valueFrom?.fieldRef === undefined ? givenAs(name) : '10.1.2.3'),
      ]),
    ),
    user: container.securityContext?.runAsUser ?? pod.securityContext.runAsUser,
    mounts: Object.fromEntries(
      (container.volumeMounts ?? []).map(({ name, mountPath }) => {
        const volume = pod.volumes!.find((one) => one.name === name)!
        // Of different pods, a directory of the node is what they share.
        return [mountPath, volume.hostPath?.path ?? name]
      }),
    ),
  })
  const seconds = of(relay).pod.terminationGracePeriodSeconds!
  return { relay: placeOf(of(relay)), app: placeOf(of(app)), graceMs: seconds * 1000 }
}

/** What a secret holds. */
function givenAs(name: string): string {
  return name === variableOf('redis.url') ? 'rediss://user:word@streams.example:6380' : 'given'
}

function systemd(): Way {
  const placeOf = (file: string, more = ''): Place => {
    const text = read(file)
    const set = [...text.matchAll(/^Environment=(\w+)=(.*)$/gm), ...more.matchAll(/^(\w+)=(.*)$/gm)]
    return {
      env: Object.fromEntries(set.map(([, name, value]) => [name, value])),
      user: /^User=(.*)$/m.exec(text)?.[1],
      mounts: undefined,
    }
  }
  const unit = 'deploy/systemd/offpath.service'
  return {
    relay: placeOf(unit, read('deploy/systemd/offpath.env')),
    app: placeOf('deploy/systemd/application.conf'),
    graceMs: parseDuration(/^TimeoutStopSec=(.*)$/m.exec(read(unit))![1]!)!,
  }
}

/** A directory as what is shared and the path in it. */
function shared({ mounts }: Place, directory: string): string {
  if (mounts === undefined) return directory
  const at = Object.keys(mounts).find((path) => `${directory}/`.startsWith(`${path}/`))
  expect([directory, at]).not.toContain(undefined)
  return mounts[at!]! + directory.slice(at!.length)
}

describe.each<[string, Way]>([
  ['systemd', systemd()],
  ['Compose', compose()],
  ['a sidecar', kubernetes('deploy/kubernetes/sidecar.yaml')],
  ['a DaemonSet', kubernetes('deploy/kubernetes/daemonset.yaml')],
  ['a sidecar that forwards to Redis', kubernetes(POOL)],
])('with %s', (_name, { relay, app, graceMs }) => {
  const env = { HOME: '/home/someone', ...relay.env }
  const { config, warnings } = loadConfig({ flags: new Map(), env, cwd: join(root, 'deploy') })
  const told: string[] = []
  const options = resolveOptions({}, { HOME: '/home/someone', ...app.env }, (line) => {
    told.push(line)
  })

  test('the relay takes its variables, the application its own', () => {
    const known = OPTION_NAMES.flatMap((name) => [variableOf(name), ...(optionOf(name).env ?? [])])
    expect(Object.keys(relay.env).filter((name) => !known.includes(name))).toEqual([])
    expect([...warnings, ...told]).toEqual([])
    expect(Object.keys(relay.env).length).toBeGreaterThan(4)
  })

  test('both have the same spool, as the same user', () => {
    expect(app.user).toBe(relay.user)
    expect(app.user).toBeDefined()
    expect(shared(app, options.spoolDir)).toBe(shared(relay, config['spool.dir']))
    expect(shared(app, options.diskDir)).toBe(shared(relay, config['spool.disk-dir']))
    expect(options.spoolCapBytes).toBe(config['spool.cap'])
    // The store is there, and somewhere else.
    expect(shared(relay, config['store.dir'])).not.toContain('spool')
  })

  test('there is time to deliver what is left at the end', () => {
    expect(config['export.drain']).toBeGreaterThan(0)
    expect(graceMs).toBeGreaterThanOrEqual(config['export.drain']! + 5000)
  })

  test('an API that others reach asks for a token', () => {
    const isLocal = config['http.host'] === '127.0.0.1'
    expect(isLocal || config['http.token'] !== undefined).toBe(true)
  })
})

describe('a pool behind Redis', () => {
  const configOf = ({ env }: Place): Config =>
    loadConfig({ flags: new Map(), env: { HOME: '/', ...env }, cwd: join(root, 'deploy') }).config
  const pool = kubernetes(POOL, 'pool')
  const receives = configOf(pool.relay)
  const forwards = configOf(pool.app)

  test('delivers from the streams that the sidecar adds to', () => {
    expect([receives['redis.receive'], receives['redis.forward']]).toEqual([true, false])
    expect([forwards['redis.receive'], forwards['redis.forward']]).toEqual([false, true])
    for (const name of ['redis.stream', 'redis.partitions', 'redis.max-length'] as const) {
      expect(receives[name]).toBe(forwards[name])
    }
    const known = OPTION_NAMES.flatMap((name) => [variableOf(name), ...(optionOf(name).env ?? [])])
    expect(Object.keys(pool.relay.env).filter((name) => !known.includes(name))).toEqual([])
    // Keys are in the pool alone.
    expect(configuredExporters(receives).map(({ name }) => name)).toEqual(['langfuse'])
    expect(exportersOf(forwards).map(({ name }) => name)).toEqual(['redis'])
  })

  test('has no volume, and time to deliver and to hand back', () => {
    expect(pool.relay.mounts).toEqual({})
    expect(pool.graceMs).toBeGreaterThanOrEqual(receives['export.drain']! + 15_000)
    expect(receives['http.token']).toBeDefined()
  })
})

test('Prometheus asks Compose’s relay by a name that it answers to', () => {
  const { config } = loadConfig({
    flags: new Map(),
    env: compose().relay.env,
    cwd: join(root, 'deploy'),
  })
  const targets = found(read('deploy/prometheus/prometheus.yml'), /targets: \['([^']+):\d+'\]/g)
  expect(targets).toEqual(config['http.allowed-hosts'])
})

test('ports agree', () => {
  const port = optionOf('http.port').default
  const texts = files.map(read).join('\n')
  expect(found(texts, /(?:relay|127\.0\.0\.1):(\d+)/g)).toEqual([port])
  expect(found(texts, /^EXPOSE (\d+)/gm)).toEqual([port])
  for (const kind of ['sidecar', 'daemonset', 'pool']) {
    const containers = containersOf(`deploy/kubernetes/${kind}.yaml`).map((one) => one.container)
    const relays = containers.filter(({ name }) => ['relay', 'pool'].includes(name))
    expect(relays.length).toBe(kind === 'pool' ? 2 : 1)
    for (const { ports, livenessProbe } of relays) {
      expect(ports).toEqual([{ name: 'offpath', containerPort: Number(port) }])
      expect(livenessProbe?.httpGet).toEqual({ path: '/health', port: 'offpath' })
    }
  }
})

test.each(documents)('%s names variables, options and flags that there are', (file) => {
  const text = read(file)
  const known = found(
    read('docs/configuration.md') + read('docs/errors.md'),
    /`(OFFPATH_[A-Z_]+)`/g,
  )
  const variables = found(text, /\b(OFFPATH_[A-Z_]*[A-Z])/g)
  expect(variables.filter((name) => !known.includes(name))).toEqual([])
  const sections = 'spool|store|retention|http|langfuse|otlp|export|redis|log'
  const options = found(text, new RegExp(`(?<![\\w./-])((?:${sections})\\.[a-z][a-z-]*)`, 'g'))
  expect(options.filter((name) => !OPTION_NAMES.some((option) => option === name))).toEqual([])
  const flags = found(text, new RegExp(`(--(?:${sections})-[a-z-]+)`, 'g'))
  expect(flags.filter((flag) => !OPTION_NAMES.some((name) => flagOf(name) === flag))).toEqual([])
})

describe('metrics', () => {
  const table = read('docs/metrics.md')
  const metrics = found(table, /^\| `(offpath_\w+)`/gm)
  const histograms = found(table, /^\| `(offpath_\w+)` \| histogram/gm)
  const samples = [
    ...metrics.filter((name) => !histograms.includes(name)),
    ...histograms.flatMap((name) => ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`)),
  ]
  const states = found(read('docs/http-api.md'), /^\| `([a-z-]+)` \| [^|`]*\|$/gm)

  test.each(['deploy/grafana/offpath.json', 'deploy/prometheus/alerts.yml'])(
    'of %s are those of docs/metrics.md',
    (file) => {
      const used = found(read(file), /(offpath_\w+)/g)
      expect(used.length).toBeGreaterThan(10)
      expect(used.filter((name) => !samples.includes(name))).toEqual([])
      const named = found(read(file), /\bstate=~?\\?"([a-z|-]+)\\?"/g).flatMap((some) =>
        some.split('|'),
      )
      expect(named.filter((state) => !states.includes(state))).toEqual([])
    },
  )
})

test('each alert says what is known and what to do', () => {
  interface Rule {
    readonly alert: string
    readonly expr: string
    readonly labels: { readonly severity: string }
    readonly annotations: Readonly<Record<string, string>>
  }
  const [file] = load<{ groups: { rules: Rule[] }[] }>('deploy/prometheus/alerts.yml')
  const rules = file!.groups.flatMap((group) => group.rules)
  expect(rules.length).toBeGreaterThan(9)
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  for (const { alert, expr, labels, annotations } of rules) {
    expect([alert, Object.keys(annotations).sort()]).toEqual([
      alert,
      ['action', 'description', 'summary'],
    ])
    for (const text of [expr, ...Object.values(annotations)]) expect(text.length).toBeGreaterThan(9)
    expect(['critical', 'warning']).toContain(labels.severity)
  }
})

describe('the dashboard', () => {
  const text = read('deploy/grafana/offpath.json')
  const { panels, templating } = JSON.parse(text) as Dashboard

  test('has what Grafana’s own types have, and no other', () => {
    const folder = mkdtempSync(join(tmpdir(), 'offpath-dashboard-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const type = join(import.meta.dirname, 'dashboard.fixture.ts')
    // Written as a literal: of an imported JSON file nobody asks what it has too much.
    const source = `import type { Dashboard } from '${type}'\nexport const dashboard: Dashboard = ${text}`
    writeFileSync(join(folder, 'dashboard.mts'), source)
    const extended = join(root, 'tsconfig.json')
    const settings = { extends: extended, compilerOptions: { types: [] }, include: ['*.mts'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
    const { status, stdout, stderr } = spawnSync(
      join(root, 'node_modules/.bin/tsc'),
      ['-p', folder],
      {
        encoding: 'utf8',
      },
    )
    expect([status, stdout, stderr]).toEqual([0, '', ''])
  })

  test('asks its chosen data source, in panels that do not overlap', () => {
    const variables = templating.list.map(({ name }) => name)
    expect(variables).toEqual(['datasource', 'job', 'instance', 'exporter'])
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    expect(new Set(panels.map(({ gridPos: { x, y } }) => `${x} ${y}`)).size).toBe(panels.length)
    for (const panel of panels) {
      const { title, gridPos } = panel
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
      if (panel.type === 'row') continue
      expect([title, panel.targets]).not.toEqual([title, []])
      for (const { expr, datasource } of panel.targets) {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's.
        expect(datasource?.uid).toBe('${datasource}')
        const asked = found(expr, /\$(\w+)/g).filter((name) => !name.startsWith('__'))
        expect(asked.filter((name) => !variables.includes(name))).toEqual([])
      }
    }
  })
})
