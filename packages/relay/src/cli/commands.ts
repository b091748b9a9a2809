import type { OptionName } from '../config/options.ts'
import type { Run } from './call.ts'

export interface Flag {
  /** Name of its value; undefined: a switch. */
  readonly value?: string
  readonly about: string
}

export interface Command {
  readonly name: string
  /** What follows its name: nothing, `<one>` that is needed, or `[<any> …]` number. */
  readonly words: string
  readonly summary: string
  /** What else a reader of its help needs: columns, JSON shape, examples. */
  readonly details: string
  readonly flags: Readonly<Record<string, Flag>>
  /** Options of the configuration that matter to it, shown in its help. All are accepted by all commands. */
  readonly options: readonly (OptionName | 'all')[]
  /** The configuration's warnings are in what it prints. */
  readonly tellsWarnings?: true
  /** Given --redis-url it asks Redis, also where no relay would. */
  readonly asksRedis?: true
  /** Loaded when it runs: --help needs neither SQLite nor HTTP. */
  load(): Promise<{ run: Run }>
}

const STORE: readonly OptionName[] = ['store.dir']
const SPOOL: readonly OptionName[] = ['spool.dir', 'spool.disk-dir']
/** For what the running relay is asked to do. */
const OPERATED: readonly OptionName[] = [...STORE, 'http.token']

/** Of a pool, dead letters are in Redis. */
const DEAD: readonly OptionName[] = [...STORE, 'redis.url', 'redis.stream']

const DEAD_FILTERS: Readonly<Record<string, Flag>> = {
  exporter: { value: 'name', about: 'of this exporter only' },
  reason: { value: 'text', about: 'with this text in their reason' },
}

export const COMMANDS: readonly Command[] = [
  {
    name: 'up',
    words: '',
    summary: 'run the relay until Ctrl-C',
    details: `Reads what applications record, stores it, and delivers it to the exporters that are configured
(Langfuse: keys, OTLP: a URL). Log lines go to stderr. SIGTERM and Ctrl-C end it: what is not delivered stays
on disk for the next start; with --export-drain it is first delivered, for so long at most.

Many relays can hand over to a few through Redis Streams: --redis-forward true beside the applications, and
--redis-receive true in the pool that delivers, which reads no spool and keeps nothing on disk.
Applications in any language can push JSON to a list in Redis, which a relay takes with --redis-list <key>.

--once is for cron, CI and the like: it delivers what is in the spool by now and ends. Observations that are open in
applications that run stay open, those of dead ones end as interrupted. It gives up after --timeout, or sooner when
all that is left waits for other keys or another URL; requests on their way then have 3 s. Exit code 1: something is
left, for the next start; 3: another relay is at work. The API takes any free port unless http.port is set.
A relay of a pool refuses it: what waits in Redis has no end.

--json prints one line once it is ready:
  {"ready":true,"url":"http://127.0.0.1:7411","spool":"…","diskSpool":"…","store":"…","pid":1,
   "exporters":["langfuse"]}
in a pool "redis":"redis://…" in the place of "spool", "diskSpool" and "store";
or with --once at the end, counts being those of the run and "waiting" what is left, of which "waitingBytes" has also what
is only sent again:
  {"done":true,"open":0,"unreadBytes":0,"storeFull":false,"exporters":[{"name","delivered","deadLettered",
     "dropped":{reason:n},"waiting","resent","notResent","waitingBytes","scores":{…}|null,"media":{…}|null,
     "state","message"}]}`,
    flags: {
      once: { about: 'deliver what is there, and end' },
      timeout: { value: 'duration', about: 'how long --once may take (default 5m)' },
      'until-stdin-closes': {
        about: 'end as by SIGTERM when stdin does: a pipe tells of the end of whoever started it',
      },
    },
    options: ['all'],
    load: () => import('./up.ts'),
  },
  {
    name: 'ls',
    words: '',
    summary: 'recent traces, newest first',
    details: `--json prints {"traces":[…],"next":"…"|null}. A trace:
  {"id","name","complete","service","environment","userId","sessionId","startTime","durationMs",
   "observations","errors","warnings","interrupted","tokens":{"input","output","total"}|null}
startTime is ISO 8601 in UTC; "complete": its root observation has ended; "next": --before of the next page.`,
    flags: {
      limit: { value: 'n', about: 'how many (default 20, at most 500)' },
      service: { value: 'name', about: 'of this service only' },
      since: { value: 'time', about: 'since 10m, 2h, 7d ago, or an ISO time' },
      before: { value: 'cursor', about: 'the next page: "next" of the page before' },
    },
    options: STORE,
    load: () => import('./ls.ts'),
  },
  {
    name: 'show',
    words: '<trace>',
    summary: 'one trace as a tree',
    details: `<trace> is a trace id or the beginning of one. The tree shows type, start after the trace's start,
duration, time to first token, tokens, level and status message, and the beginning of input, output and metadata.

--json prints what /api/traces/:id answers: {"trace":{… as in ls …},"observations":[…],"omitted":0}.
An observation:
  {"id","traceId","parentId","name","type","service","startTime","endTime","durationMs","level",
   "statusMessage","interrupted","environment","version","project","model","modelParameters","usage","cost",
   "completionStartTime","timeToFirstTokenMs","prompt","userId","sessionId","traceName","tags","input",
   "output","traceInput","traceOutput","metadata","traceMetadata","attributes","events","links","cut"}
"cut" names values that were too long for the answer, with their length in bytes.`,
    flags: { full: { about: 'values as they are, not their beginning' } },
    options: STORE,
    load: () => import('./show.ts'),
  },
  {
    name: 'tail',
    words: '',
    summary: 'observations as they finish',
    details: `Runs until Ctrl-C. --json prints an observation a line, as those of \`offpath show --json\`.`,
    flags: {
      limit: { value: 'n', about: 'begin with the last n (default 10)' },
      service: { value: 'name', about: 'of this service only' },
    },
    options: STORE,
    load: () => import('./tail.ts'),
  },
  {
    name: 'status',
    words: '',
    summary: 'is all well: relay, spool, exporters, losses',
    details: `Asks the relay, or reads the store when none runs. Per exporter, in observations:
accepted = delivered + dead-lettered + dropped + held.

Exit code 1 when something waits for you: no relay runs or answers, the store is full, Redis refuses its list, or an
exporter is unauthorized, misconfigured or without keys. What was lost or rejected is told and is no such
reason: it stays true for ever.

--json prints what /api/stats answers:
  {"relay":{…}|null,"store":{"dir","bytes","capBytes"}|null,"redis":{…}|null,"redisList":{…}|null,
   "spool":[{"dir","tier","capBytes","limitBytes","bytes","segments","unreadBytes",
     "leftAlone":[{"path","fault"}]}],
   "accepted","open","interrupted","lost":{reason:n},"counters":{…},"writers":[…],
   "exporters":[{"name","accepted","delivered","deadLettered","dropped":{reason:n},"held","waiting",
     "waitingBytes","oldestWaiting","backlogCapBytes","resent","notResent","deadDropped",
     "delivery":{"state","since","message",…}|null}],
   "vitals":[{"service","microsecondsPerObservation","microsecondsPerTrace",…}],"deadLetters":[…]}`,
    flags: {},
    options: [...STORE, ...SPOOL, 'http.host', 'http.port', 'http.token'],
    load: () => import('./status.ts'),
  },
  {
    name: 'doctor config',
    words: '',
    summary: 'is the configuration right, are the exporters reached',
    details: `Looks at the configuration, the directories of spool and store, a relay that runs, the port of the API, and asks each
exporter with its keys, by a request without traces, for 5 s at most. Makes and changes nothing. A line each:
ok, warning (it works, but perhaps not as it was meant) or wrong, with what to do behind the arrow.

Exit code 1 when something is wrong, 2 when the configuration cannot be read.

--json prints {"checks":[{"name","state":"ok"|"warning"|"wrong","message","fix":"…"|null}]}.`,
    flags: {},
    options: ['all'],
    tellsWarnings: true,
    load: () => import('./doctor-config.ts'),
  },
  {
    name: 'dead ls',
    words: '',
    summary: 'dead letters: what the server of an exporter rejected',
    details: `Observations (spans), scores and media, newest first. An id such as span:12, score:7, media:9 names one.
What is sent again and rejected again gets a new id, media excepted.

Of a pool (redis.receive, or --redis-url with its URL) they are in Redis, and the commands work there,
whether or not its relays run. Ids are longer: span:1764260000000-0, score:…, or entry:…, which is a whole entry
that was none or ended relays.

--json prints {"deadLetters":[…],"total":n}. A dead letter:
  {"id","what","exporter","time","reason","traceId","observationId","name"}`,
    flags: {
      limit: { value: 'n', about: 'how many (default 50, at most 500)' },
      ...DEAD_FILTERS,
    },
    options: DEAD,
    asksRedis: true,
    load: () => import('./dead/ls.ts'),
  },
  {
    name: 'dead show',
    words: '<id>',
    summary: 'one dead letter with what was rejected',
    details: `--json prints what /api/dead/:id answers: a dead letter as \`offpath dead ls --json\` has it, with
"observation" (as \`offpath show --json\` has them), "score" (as Langfuse's API has it) and "media"
({"field","contentType","bytes","sha256"}): the one that its kind says, the others null.`,
    flags: { full: { about: 'values as they are, not their beginning' } },
    options: DEAD,
    asksRedis: true,
    load: () => import('./dead/show.ts'),
  },
  {
    name: 'dead retry',
    words: '[<id> …]',
    summary: 'have dead letters sent again',
    details: `Takes them off the list and sends them again, the same bytes. What is rejected again comes back to the list.
Observations stay counted as dead: what arrives now is counted as resent, what does not as not resent; scores and
media are accepted a second time.

The running relay does it; while none runs, they wait for the next one. Exit code 1 when there is no dead letter of an id.

--json prints {"retried":n,"superseded":n,"notConfigured":n,"gone":n,"noRoom":n,"unknown":["span:12",…]}
superseded: taken off the list, for a newer version of the observation is stored; notConfigured: left, for their
exporter is not configured or takes none such; gone: left, for the observation has expired or cannot be read, and with
it what was rejected; noRoom: left, for export.backlog-cap has no room for them now.

Of a pool each goes to its stream once more, for its exporter alone, and is taken off the list; relays of the pool
that are older than this command give it to all exporters. notConfigured: Redis has no group of the exporter's name;
gone: its content was cut or not kept, "refused":[{"id","reason"}] says which; noRoom: the stream is full.`,
    flags: { all: { about: 'all, or all that --exporter and --reason choose' }, ...DEAD_FILTERS },
    options: [...OPERATED, 'export.backlog-cap', 'redis.url', 'redis.stream', 'redis.max-length'],
    asksRedis: true,
    load: () => import('./dead/retry.ts'),
  },
  {
    name: 'dead drop',
    words: '[<id> …]',
    summary: 'take dead letters off the list for good',
    details: `Their observations stay in the store, and counted as dead. Exit code 1 when there is no dead letter of an id.

--json prints {"dropped":n,"unknown":["span:12",…]}`,
    flags: { all: { about: 'all, or all that --exporter and --reason choose' }, ...DEAD_FILTERS },
    options: [...OPERATED, 'redis.url', 'redis.stream'],
    asksRedis: true,
    load: () => import('./dead/drop.ts'),
  },
  {
    name: 'dead export',
    words: '',
    summary: 'all dead letters, a line of JSON each',
    details: `Prints of each what \`offpath dead show --json\` prints: spans, then scores, then media, in the order of their ids.`,
    flags: DEAD_FILTERS,
    options: DEAD,
    asksRedis: true,
    load: () => import('./dead/export.ts'),
  },
  {
    name: 'replay',
    words: '',
    summary: 'send again what ended within a time, out of the store',
    details: `For when the other side has lost or never got it: an outage there, keys of the wrong project, a new
exporter. Sends the observations that ended at --from or later and before --to, the same bytes, whatever became of
them before. The same ids and start times replace what is there. What waits already is not sent twice. Media are
offered to Langfuse again; scores are not sent. Counted as resent, or not resent.

At a terminal it says how many it would send, and sends them with --yes. No more than export.backlog-cap has room for.
Observations can be sent again as long as they are in the store: retention.age, retention.size. The running relay
does it; while none runs, they wait for the next one.

--json asks nothing and prints
  {"from","to","dryRun","exporters":[{"name","observations"}],"unreadable":n}
observations: how many newly wait to be sent; unreadable: chunks whose bytes are gone.`,
    flags: {
      from: { value: 'time', about: '10m, 2h, 7d ago, or an ISO time' },
      to: { value: 'time', about: 'likewise (default now)' },
      service: { value: 'name', about: 'of this service only' },
      exporter: { value: 'name', about: 'to this exporter only' },
      'dry-run': { about: 'say how many, send none' },
      yes: { about: 'send them without being asked' },
    },
    options: [...OPERATED, 'export.backlog-cap'],
    load: () => import('./replay.ts'),
  },
  {
    name: 'export',
    words: '',
    summary: 'what is stored as OTLP JSON lines, for another store or another tool',
    details: `Prints a trace request a line (TracesData), as the file exporter of the OpenTelemetry Collector writes them, in the
order in which observations were stored, whether or not the relay runs. Of an observation with several versions the
newest alone. Media are in it, as data URIs; scores are not, nor what has not ended: both are told.
Attributes offpath.* say what attributes of OTLP can't: \`offpath import\` takes them out again.

--out makes a new file, for its owner alone; with --json it prints {"observations","open","scores","unreadable"}.
Exit code 1 when something could not be read.`,
    flags: {
      from: { value: 'time', about: 'what ended since 10m, 2h, 7d ago, or an ISO time' },
      to: { value: 'time', about: 'what ended before, likewise' },
      service: { value: 'name', about: 'of this service only' },
      trace: { value: 'id', about: 'this trace only: its id or the beginning of it' },
      out: {
        value: 'file',
        about: 'into this file, which must not be there yet (default: stdout)',
      },
    },
    options: [...STORE, 'export.span-bytes'],
    load: () => import('./export.ts'),
  },
  {
    name: 'import',
    words: '<file>',
    summary: 'OTLP JSON lines into the store; - is stdin',
    details: `Takes what \`offpath export\` and the file exporter of the OpenTelemetry Collector write. The running relay does it;
while none runs, the store is written to directly, and made if there is none.

Exporters don't get it, for the relay of the other store has seen to that: --deliver hands it to them too, and
\`offpath replay\` later what ended within a time. An observation that is stored already is left out when it is the same,
and a further version of it when not: what was interrupted can be run again. Lines that are none are told by their numbers
and left out, as are spans with invalid ids or times. Exit code 1 when something was left out.

--json prints
  {"lines","spans","revised","known","malformedLines","rejected":{reason:n},"linksLeftOut","problems":[{"line","message"}]}
spans: new ones; problems: the first of them.`,
    flags: { deliver: { about: 'exporters get it too' } },
    options: [...OPERATED, 'retention.size', 'export.backlog-cap'],
    load: () => import('./import.ts'),
  },
  {
    name: 'spool ls',
    words: '',
    summary: 'segments that applications have written',
    details: `--json prints {"segments":[…]}. A segment:
  {"path","tier","bytes","written","frames","writer","number","pid","thread","alive","service","startTime","fault"}
"bytes" is the file's size, "written" what its header and frames take: a file that is used again holds those of an
earlier segment behind them.`,
    flags: {},
    options: SPOOL,
    load: () => import('./spool-ls.ts'),
  },
  {
    name: 'spool verify',
    words: '<file>',
    summary: 'check a segment frame by frame',
    details: `Exit code 1 when something is wrong with it.

--json prints
  {"path","clean","bytes","frames","records","ended","faults":[{"offset","bytes","fault"}],"header":{…}}`,
    flags: {},
    options: [],
    load: () => import('./spool-verify.ts'),
  },
]

/** Flags of every command. */
export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  json: { about: 'print JSON' },
  config: { value: 'file', about: 'configuration (default ./offpath.yaml)' },
  help: { about: 'print help' },
  version: { about: 'print the version' },
}
