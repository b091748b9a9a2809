// Keeps one relay for this process, or waits for its turn while another process has it.
//
//   look ──free──▶ starting ──ready──▶ running ──ended──▶ restarting (1 s … 30 s) ──▶ look
//     └──taken──▶ elsewhere ──free──▶ look              any ──wrong configuration──▶ refused
//
// The application itself does it, with an unref'ed timer: unlike Python there is no lock of an interpreter to wait for. After
// its death nobody starts a relay again that crashes; what it leaves goes out with the next start.
import type { LogLevel } from '../log.ts'
import type { Carried, Carrier } from './carriers.ts'
import type { FromRelay } from './protocol.ts'
import type { Turn } from './turn.ts'

export type RelayState =
  /** Not enabled: nothing was started. */
  | 'off'
  | 'starting'
  /** This application's relay reads the spool. */
  | 'running'
  /** Another relay does: another process's, or `offpath up`. */
  | 'elsewhere'
  /** It ended, and is started again in a moment. */
  | 'restarting'
  /** Its configuration is wrong, or it cannot run here: it is not started again. */
  | 'refused'
  | 'stopping'
  | 'stopped'

export interface Supervised {
  readonly drainMs: number
  readonly turn: Turn
  readonly isOn: boolean
  /** Why it cannot run here at all. */
  readonly refusal: string | undefined
  launch(events: Pick<Carried, 'onMessage' | 'onEnd'>): Carrier
  log(level: LogLevel, line: string): void
  /** Something can have changed that somebody waits for. */
  onChange(): void
}

const FIRST_DELAY_MS = 1000
const MAX_DELAY_MS = 30_000
/** What ran so long begins anew with the first delay. */
const STEADY_MS = 60_000
const LOOK_MS = 1000
/** While another process starts one. */
const SOON_MS = 200
/** What a relay needs to end beyond what it was given to deliver. */
export const STOP_MS = 5000
const MAX_WORDS = 1000

export class Supervisor {
  state: RelayState = 'starting'
  url: string | null = null
  /** Of the relay that runs, when it is ours. */
  spool: string | null = null
  /** Why it is as it is, for people. */
  message: string | null = null
  restarts = 0
  leftOut = 0
  carrier: Carrier | null = null
  readonly #given: Supervised
  #timer: NodeJS.Timeout | undefined
  #delay = FIRST_DELAY_MS
  #startedAt = 0
  #delivered = false
  #outcome: 'taken' | 'refused' | 'told' | null = null
  /** What the relay said of why it ends. */
  #words: string | null = null
  #ended: (() => void) | undefined
  #stopping: Promise<boolean> | undefined

  constructor(given: Supervised) {
    this.#given = given
    if (!given.isOn) this.state = 'off'
    else if (given.refusal !== undefined) this.#refuse(given.refusal)
    else this.#start()
  }

  #refuse(words: string): void {
    this.#become('refused', words)
    this.#given.log('error', `the relay is given up: ${words}`)
  }

  #become(state: RelayState, message: string | null = null): void {
    this.state = state
    this.message = message
    this.#given.onChange()
  }

  #later(ms: number, step: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(step, ms).unref()
  }

  #start(): void {
    const { turn, launch } = this.#given
    if (!turn.take()) {
      this.#later(SOON_MS, () => this.#lookAgain())
      return
    }
    this.#startedAt = performance.now()
    this.#outcome = null
    this.#words = null
    try {
      this.carrier = launch({
        onMessage: (message) => this.#take(message),
        onEnd: (how) => this.#over(how),
      })
    } catch (error) {
      // No process or thread can be had now.
      this.#over(`could not be started: ${(error as Error).message}`)
    }
  }

  /** Another process was starting one: where it is up by now, a start of ours would only find the lease taken. */
  #lookAgain(): void {
    const { turn } = this.#given
    if (!turn.looksTaken()) {
      this.#start()
      return
    }
    turn.wasTaken()
    this.#become('elsewhere', 'another process has the relay')
    this.#wait()
  }

  #take(message: FromRelay): void {
    const { log, turn } = this.#given
    switch (message.type) {
      case 'ready':
        turn.done()
        this.url = message.url
        this.spool = message.spool
        if (this.state !== 'stopping') this.#become('running')
        return
      case 'log':
        log(message.level, message.line)
        return
      case 'leftOut':
        this.leftOut += message.lines
        log('warn', `${message.lines} lines of the relay were not taken in time`)
        return
      case 'taken':
      case 'refused':
        this.#outcome = message.type
        this.#words = message.words.slice(0, MAX_WORDS)
        return
      case 'failed':
        this.#words = message.words.slice(0, MAX_WORDS)
        log('error', this.#words)
        return
      case 'ended':
        this.#delivered = message.delivered
        this.#outcome = 'told'
    }
  }

  #over(how: string): void {
    const { log, turn } = this.#given
    turn.done()
    this.carrier = null
    this.url = null
    this.spool = null
    const words = this.#words
    if (this.state === 'stopping' || this.state === 'stopped') this.#ended?.()
    else if (this.#outcome === 'refused') this.#refuse(words ?? how)
    else if (this.#outcome === 'taken') {
      turn.wasTaken()
      if (this.state !== 'elsewhere') log('info', `${words}; this one waits for its turn`)
      this.#become('elsewhere', words)
      this.#wait()
    } else this.#startAgain(how)
  }

  #startAgain(how: string): void {
    if (performance.now() - this.#startedAt > STEADY_MS) this.#delay = FIRST_DELAY_MS
    const message = `the relay ${how}; it is started again in ${this.#delay / 1000} s`
    this.#given.log('warn', message)
    this.restarts++
    this.#become('restarting', this.#words === null ? message : `${this.#words}; ${message}`)
    this.#later(this.#delay, () => this.#start())
    this.#delay = Math.min(2 * this.#delay, MAX_DELAY_MS)
  }

  #wait(): void {
    this.#later(LOOK_MS, async () => {
      const isFree = await this.#given.turn.isFree()
      if (this.state !== 'elsewhere') return
      if (isFree) this.#start()
      else this.#wait()
    })
  }

  /** Somebody waits for what was recorded. */
  hurry(): void {
    this.carrier?.send({ type: 'hurry' })
  }

  /** Resolves once it has ended; to whether nothing is left that it had. */
  stop(drainMs: number): Promise<boolean> {
    this.#stopping ??= this.#stop(drainMs)
    return this.#stopping
  }

  async #stop(drainMs: number): Promise<boolean> {
    clearTimeout(this.#timer)
    const { carrier } = this
    if (carrier === null) {
      const { state } = this
      if (state !== 'off' && state !== 'refused') this.#become('stopped')
      return state === 'off' || state === 'elsewhere'
    }
    this.#become('stopping')
    const ended = new Promise<void>((resolve) => {
      this.#ended = resolve
    })
    carrier.send({ type: 'end', drainMs })
    // Also what keeps the application running until then: the relay itself does not.
    const kill = setInterval(() => carrier.kill(), drainMs + STOP_MS)
    await ended
    clearInterval(kill)
    this.#become('stopped')
    return this.#delivered || this.#outcome === 'taken'
  }

  /** At the application's exit, without its event loop. */
  stopNow(): void {
    const { drainMs } = this.#given
    this.carrier?.send({ type: 'end', drainMs, isDeaf: true })
    this.carrier?.waitForEnd(drainMs + STOP_MS)
  }
}
