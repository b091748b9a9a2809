// The part of the tracing API that the measured programs use. @langfuse/tracing and @offpath/sdk both have it as it
// is; the bare OpenTelemetry SDK gets an adapter that does what one writes by hand.

type ObservationType =
  | 'span'
  | 'generation'
  | 'event'
  | 'agent'
  | 'tool'
  | 'chain'
  | 'retriever'
  | 'evaluator'
  | 'guardrail'
  | 'embedding'

export interface Observation {
  update(attributes: object): unknown
  end(): void
  startObservation(
    name: string,
    attributes?: object,
    options?: { asType?: ObservationType },
  ): Observation
}

export interface Tracing {
  startObservation(
    name: string,
    attributes?: object,
    options?: { asType?: ObservationType },
  ): Observation
  startActiveObservation<T>(
    name: string,
    run: (observation: Observation) => Promise<T>,
    options?: { asType?: ObservationType },
  ): Promise<T>
}

/** The other half of the same API: whole functions are observed, arguments as input, what they give as output. */
export interface Observing {
  observe<T, A extends unknown[], R>(
    run: (this: T, ...args: A) => R,
    options: { name: string; asType?: ObservationType },
  ): (this: T, ...args: A) => R
  updateActiveObservation(attributes: object, options?: { asType: ObservationType }): void
}

const nothing: Observation = {
  update: () => nothing,
  end: () => {},
  startObservation: () => nothing,
}

/** The same program, nothing recorded. */
export const untraced: Tracing = {
  startObservation: () => nothing,
  startActiveObservation: (_name, run) => run(nothing),
}
