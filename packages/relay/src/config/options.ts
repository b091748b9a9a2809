// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${NAME} in paths is expanded by kinds.ts.
import type { Kind, Values } from './kinds.ts'

/** One option. Its name is its key in offpath.yaml; flag and environment variable are made from it. */
export interface Option {
  readonly kind: Kind
  /** As it would be written in offpath.yaml; undefined: unset. */
  readonly default: string | undefined
  readonly about: string
  /** Shown as [redacted]. */
  readonly secret?: true
  /** Other environment variables that set it, the first one that is set wins. */
  readonly env?: readonly string[]
}

// The one table: flags, environment, offpath.yaml, validation, --help and docs/configuration.md come from it.
const OPTIONS = {
  'spool.dir': {
    kind: 'path',
    default: '/dev/shm/offpath-<uid>',
    about:
      'Where applications record, in memory; without /dev/shm, offpath-<uid> in the folder for temporary files',
  },
  'spool.cap': {
    kind: 'size',
    default: undefined,
    about:
      'Most that spool.dir may hold; unset: 64MB or half of what is free there, whichever is less',
  },
  'spool.disk-dir': {
    kind: 'path',
    default: '${XDG_STATE_HOME:-~/.local/state}/offpath/spool',
    about: 'Where applications record when spool.dir cannot take more',
  },
  'spool.disk-cap': { kind: 'size', default: '1GB', about: 'Most that spool.disk-dir may hold' },
  'store.dir': {
    kind: 'path',
    default: '${XDG_STATE_HOME:-~/.local/state}/offpath',
    about: 'Where the relay keeps traces, and what is not delivered yet',
  },
  'retention.age': { kind: 'duration', default: '7d', about: 'How long traces are kept' },
  'retention.size': {
    kind: 'size',
    default: '2GB',
    about: 'Most that delivered traces may take; what waits for its first delivery is spared',
  },
  'http.host': {
    kind: 'text',
    default: '127.0.0.1',
    about: 'Address that the HTTP API listens on',
  },
  'http.port': { kind: 'port', default: '7411', about: 'Port of the HTTP API; 0: any free one' },
  'http.allowed-hosts': {
    kind: 'hosts',
    default: '',
    about:
      'Names beside localhost under which the HTTP API may be asked for (against DNS rebinding)',
  },
  'http.token': {
    kind: 'text',
    default: undefined,
    about: 'Bearer token that the HTTP API asks for, /health excepted',
    secret: true,
  },
  'langfuse.base-url': {
    kind: 'url',
    default: 'https://cloud.langfuse.com',
    about: 'Langfuse server; traces go there once keys are set',
    env: ['LANGFUSE_BASE_URL', 'LANGFUSE_BASEURL', 'LANGFUSE_HOST'],
  },
  'langfuse.public-key': {
    kind: 'text',
    default: undefined,
    about: 'Public key of the Langfuse project',
    env: ['LANGFUSE_PUBLIC_KEY'],
  },
  'langfuse.secret-key': {
    kind: 'text',
    default: undefined,
    about: 'Secret key of the Langfuse project',
    secret: true,
    env: ['LANGFUSE_SECRET_KEY'],
  },
  'langfuse.projects': {
    kind: 'projects',
    default: '',
    about: 'Keys of further projects, by the name that observations carry',
    secret: true,
  },
  'langfuse.media-upload': {
    kind: 'switch',
    default: 'true',
    about: 'Upload media apart from their observations; false: they stay in them, as base64',
    env: ['LANGFUSE_MEDIA_UPLOAD_ENABLED'],
  },
  'otlp.url': {
    kind: 'url',
    default: undefined,
    about: 'OTLP endpoint (protobuf over HTTP); traces go there once it is set',
  },
  'otlp.headers': {
    kind: 'headers',
    default: '',
    about: 'Headers of each request to otlp.url',
    secret: true,
  },
  'otlp.receive': {
    kind: 'switch',
    default: 'false',
    about:
      'Take in spans by OTLP at /v1/traces of the HTTP API, and where Langfuse’s SDKs send to, /api/public/otel/v1/traces',
  },
  'redis.url': {
    kind: 'redis',
    default: undefined,
    about:
      'Redis that relays hand spans over through (Streams); redis+sentinel://host1,host2/master, redis+cluster://host1,host2; rediss for TLS',
    secret: true,
  },
  'redis.password-file': {
    kind: 'path',
    default: undefined,
    about: 'File with the password, of mode 0600 or it is refused; comes before that of redis.url',
  },
  'redis.tls-ca': {
    kind: 'path',
    default: undefined,
    about: 'Certificates (PEM) that vouch for the server of a rediss URL, instead of the system’s',
  },
  'redis.forward': {
    kind: 'switch',
    default: 'false',
    about: 'Hand spans over to Redis, for a pool of relays to deliver',
  },
  'redis.receive': {
    kind: 'switch',
    default: 'false',
    about: 'Be a relay of the pool: deliver what is in Redis, and read no spool',
  },
  'redis.stream': {
    kind: 'stream',
    default: 'offpath',
    about:
      'First part of the names of the streams: offpath:{0}, offpath:{1} …, offpath:scores, offpath:dead',
  },
  'redis.partitions': {
    kind: 'count',
    default: '8',
    about: 'How many streams there are; the same for all relays',
  },
  'redis.max-length': {
    kind: 'amount',
    default: '10000',
    about:
      'Entries of a stream from which on nothing is added to it, the same for all relays; what waits then waits on the disks of those who forward',
  },
  'redis.entry-bytes': {
    kind: 'size',
    default: '256KB',
    about: 'Size of an entry; a larger single span goes alone',
  },
  'redis.claim-idle': {
    kind: 'duration',
    default: '60s',
    about:
      'After so long without a sign of the relay that holds an entry, or elements of a list, others take over',
  },
  'redis.list': {
    kind: 'list',
    default: undefined,
    about: 'Key of a list that applications push JSON to, which this relay takes; unset: none',
  },
  'export.gzip': {
    kind: 'gzip',
    default: 'auto',
    about: 'Compress requests; auto: unless they stay on this machine',
  },
  'export.request-bytes': {
    kind: 'size',
    default: '3MB',
    about: 'Size of a request before compression; a larger single span goes alone',
  },
  'export.span-bytes': {
    kind: 'size',
    default: '16MB',
    about: 'Most that one span may take; of larger ones the longest values are cut, visibly',
  },
  'export.concurrency': { kind: 'count', default: '4', about: 'Requests in flight, per exporter' },
  'export.timeout': { kind: 'duration', default: '30s', about: 'How long a request may take' },
  'export.backlog-cap': {
    kind: 'size',
    default: '1GB',
    about:
      'Most that may wait for one exporter, a tenth of it in scores, and as much in media; beyond it the oldest is dropped for that one, counted',
  },
  'export.drain': {
    kind: 'duration',
    default: undefined,
    about: 'How long the relay goes on at its end to deliver what is left; unset: not at all',
  },
  'log.level': { kind: 'level', default: 'info', about: 'Least severe lines that are logged' },
} as const

export type OptionName = keyof typeof OPTIONS

/** For types made of the table, such as the options of `startRelay`. */
export type KindOfOption<N extends OptionName> = (typeof OPTIONS)[N]['kind']

/** All options with their values: sizes in bytes, durations in milliseconds, paths absolute. Frozen. */
export type Config = {
  readonly [N in OptionName]:
    | Values[(typeof OPTIONS)[N]['kind']]
    | ((typeof OPTIONS)[N]['default'] extends string ? never : undefined)
}

export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[]

export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name)
}

/** The option's row, without the narrow types of the literal. */
export function optionOf(name: OptionName): Option {
  return OPTIONS[name]
}

/** spool.dir → --spool-dir */
export function flagOf(name: OptionName): string {
  return `--${name.replaceAll('.', '-')}`
}

/** spool.dir → OFFPATH_SPOOL_DIR */
export function variableOf(name: OptionName): string {
  return `OFFPATH_${name.replaceAll(/[.-]/g, '_').toUpperCase()}`
}
