import type { RecorderOptions } from '../recorder/options.ts'

/** A recorder that keeps everything: for tests, ours and others'. */
export const testOptions: RecorderOptions = {
  enabled: true,
  sampleRate: 1,
  durable: 'turn',
  spoolDir: '',
  spoolCapBytes: undefined,
  diskDir: '',
  diskCapBytes: 0,
  service: undefined,
  environment: undefined,
  release: undefined,
  project: undefined,
  resource: {},
  maxValueBytes: 32 * 1024 * 1024,
  maxDepth: 64,
  maxNodes: 50_000,
  sdk: { name: '@offpath/sdk', version: '0.0.0' },
  debug: false,
}
