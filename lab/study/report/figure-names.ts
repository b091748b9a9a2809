/**
 * The figures of a row. The last part of a name is its unit. Above: the difference to the arm that the row's arm is compared
 * with, in the same round.
 */
export type FigureName =
  /** Requests answered, all rounds. */
  | 'requests'
  /** Requests not answered with 200. */
  | 'failed'
  /** Requests answered in a second of the load, the last answer included. */
  | 'answered_per_second'
  /** Latency from the planned start, mean. */
  | 'mean_ms'
  /** Mean latency above. */
  | 'mean_above_ms'
  /** Latency, median, rounds pooled. */
  | 'p50_ms'
  /** Median latency above. */
  | 'p50_above_ms'
  /** Latency that 95 % do not exceed; from 200 requests. */
  | 'p95_ms'
  /** P95 above. */
  | 'p95_above_ms'
  /** Latency that 99 % do not exceed; from 2 000 requests. */
  | 'p99_ms'
  /** P99 above. */
  | 'p99_above_ms'
  /** Latency that 99.9 % do not exceed; from 20 000 requests. */
  | 'p999_ms'
  /** Longest latency of all rounds. */
  | 'max_ms'
  /** Lateness of a 1 ms ticker on the event loop, median. */
  | 'lag_p50_ms'
  /** Lateness of the ticker, p99. */
  | 'lag_p99_ms'
  /** Longest lag of a round, median over rounds. */
  | 'lag_round_max_ms'
  /** Longest lag of a round, above. */
  | 'lag_round_max_above_ms'
  /** Longest lag of all rounds. */
  | 'lag_max_ms'
  /** Lateness of a thread that wakes each 5 ms, median. */
  | 'gil_p50_ms'
  /** Lateness of the thread, p99. */
  | 'gil_p99_ms'
  /** Longest lateness of the thread, all rounds. */
  | 'gil_max_ms'
  /** Full collections of garbage a minute. */
  | 'gc_full_per_minute'
  /** Longest of them. */
  | 'gc_full_max_ms'
  /** Part of the time that the garbage collector took. */
  | 'gc_share'
  /** Times a minute that the loop was held above 10 ms. */
  | 'stalls_per_minute'
  /** Part of the time that the loop was held above 10 ms. */
  | 'stalled_share'
  /** CPU per request on the main thread. */
  | 'cpu_main_us'
  /** CPU on the main thread above. */
  | 'cpu_main_above_us'
  /** CPU per request of the other threads and children of the service. */
  | 'cpu_other_us'
  /** CPU per request of the service, children included. */
  | 'cpu_process_us'
  /** CPU of the service above. */
  | 'cpu_process_above_us'
  /** CPU per request of what is beside the service. */
  | 'cpu_beside_us'
  /** CPU per request, service and beside. */
  | 'cpu_total_us'
  /** CPU of service and beside, above. */
  | 'cpu_total_above_us'
  /** Memory of the service. */
  | 'rss_mb'
  /** Memory above. */
  | 'rss_above_mb'
  /** Threads of the service. */
  | 'threads'
  /** The last flush, after the load. */
  | 'flush_ms'
  /** Observations that the program began, all rounds. */
  | 'recorded'
  /** Observations that the server got. */
  | 'delivered'
  /** Observations that the server got after the load: they were in the queue or on their way. */
  | 'delivered_after_load'
  /** When the server got the last, after the load; below zero: it was before its end. */
  | 'last_arrival_ms'
  /** Recorded and not delivered when the wait was over. */
  | 'lost'
  /** Of them, those that the SDK had thrown away. Missing where a flush was given up and nobody looked into the queue. */
  | 'dropped'
  /** Of them, those that it still held. */
  | 'held'
  /** Rounds in which the last flush was given up. */
  | 'given_up'
  /** Delivered of recorded. */
  | 'delivered_share'
  /** Different traces that the server got for a request; 1 when no context is lost. */
  | 'traces_per_request'
  /** Requests of the exporter, all rounds. */
  | 'batches'
  /** Observations a batch, mean. */
  | 'batch_observations'
  /** Bytes a batch, decompressed, mean. */
  | 'batch_mean_mb'
  /** Bytes of the largest batch, decompressed. */
  | 'batch_max_mb'
  /** Bytes on the wire, all rounds. */
  | 'wire_mb'
  /** Excess of a request: CPU in calls of the tracing API. */
  | 'recording_us'
  /** Excess: waiting within these calls (the GIL, a lock, the machine). */
  | 'waiting_us'
  /** Excess: blocked in a flush at the request’s end. */
  | 'blocked_us'
  /** Excess: blocked in a request to the server. */
  | 'network_us'
  /** Excess: the rest, which is waiting for the loop or the GIL. */
  | 'rest_us'

/** The name of the figure that says how much of this one is above the compared arm. */
export function aboveOf(name: FigureName): FigureName {
  return name.replace(/_(?=[a-z]+$)/, '_above_') as FigureName
}
