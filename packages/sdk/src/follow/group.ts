import type { ActiveContext } from '../context.ts'
import type { Observer } from './ending.ts'

/**
 * Those who follow one object. A cached query or stream may be returned by many calls: it is hooked once, and each
 * call's observation joins.
 */
export class Group implements Observer {
  readonly #members: Set<Observer> = new Set()
  #context: ActiveContext

  constructor(first: Observer) {
    this.#context = first.context
    this.#members.add(first)
  }

  add(member: Observer): void {
    this.#context = member.context
    this.#members.add(member)
  }

  /** The one of who joined last. */
  get context(): ActiveContext {
    return this.#context
  }

  get settled(): boolean {
    return this.#members.size === 0
  }

  collect(item: unknown): void {
    for (const member of this.#members) member.collect(item)
  }

  succeed(value: unknown): void {
    for (const member of this.#take()) member.succeed(value)
  }

  fail(error: unknown): void {
    for (const member of this.#take()) member.fail(error)
  }

  #take(): Observer[] {
    const members = [...this.#members]
    this.#members.clear()
    return members
  }
}
