import type { Program } from '../program.ts'
import { better } from './better.ts'
import { errors } from './errors.ts'
import { observed } from './observed.ts'
import { otelSpan } from './otel-span.ts'
import { parentContexts } from './parents.ts'
import { processWide } from './process.ts'
import { propagation } from './propagation.ts'
import { random } from './random.ts'
import { structure } from './structure.ts'
import { times } from './times.ts'
import { types } from './types.ts'
import { updates } from './updates.ts'
import { values } from './values.ts'

export const programs: readonly Program[] = [
  ...types,
  ...structure,
  ...updates,
  ...errors,
  ...observed,
  ...propagation,
  ...values,
  ...times,
  ...parentContexts,
  ...otelSpan,
  ...processWide,
  ...random,
  ...better,
]
