const wanted = process.env.OFFPATH_CRASH_AT

/**
 * Where a test may kill the relay: with OFFPATH_CRASH_AT naming the point, the process ends as if by SIGKILL. A
 * no-op otherwise.
 */
export const crashPoint: (name: 'read' | 'commit' | 'unlink' | 'send' | 'acknowledge') => void =
  wanted === undefined
    ? () => {}
    : (name) => {
        if (name === wanted) process.kill(process.pid, 'SIGKILL')
      }
