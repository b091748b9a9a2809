import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { activeContext, state } from '../context.ts'
import { propagateAttributes, withProject } from './propagate.ts'
import { startActiveObservation, startObservation } from './start.ts'
import { recordInMemory } from './test-recorder.ts'
import type { PropagateAttributesParams } from './types.ts'

const ALL: PropagateAttributesParams = {
  userId: 'u',
  sessionId: 's',
  version: 'v',
  traceName: 't',
  environment: 'e',
  tags: ['x', 'y'],
  metadata: { k: '1', empty: '' },
  prompt: { name: 'p', version: '05' },
}
const ALL_RECORDED = {
  version: 'v',
  environment: 'e',
  prompt: { name: 'p', version: 5 },
  trace: {
    name: 't',
    userId: 'u',
    sessionId: 's',
    tags: ['x', 'y'],
    metadata: { k: '1', empty: '' },
  },
}

/** Warnings given from here to the end of the test. */
function warnings(): string[] {
  const given: string[] = []
  const warn = vi
    .spyOn(process, 'emitWarning')
    .mockImplementation((message) => void given.push(String(message)))
  onTestFinished(() => warn.mockRestore())
  state.warned.clear()
  return given
}

describe('propagateAttributes', () => {
  it('gives its attributes to all observations within, and hands on the result', async () => {
    const recorded = recordInMemory()
    const result = await propagateAttributes(ALL, async () => {
      await null
      startObservation('span').end()
      startObservation('event', {}, { asType: 'event' })
      return 7
    })
    startObservation('after').end()
    expect(result).toBe(7)
    expect(recorded.one('span')).toMatchObject(ALL_RECORDED)
    expect(recorded.one('event')).toMatchObject(ALL_RECORDED)
    expect(recorded.one('after').trace.userId).toBeUndefined()
  })

  it('sets them on the active observation at once, not on passive or ended ones', () => {
    const recorded = recordInMemory()
    const passive = startObservation('passive')
    startActiveObservation('active', (active) => {
      propagateAttributes(ALL, () => {})
      active.end()
      propagateAttributes({ userId: 'late' }, () => {})
    })
    passive.end()
    expect(recorded.one('active')).toMatchObject(ALL_RECORDED)
    expect(recorded.one('passive').trace.userId).toBeUndefined()
  })

  it("gives way to an observation's own values", () => {
    const recorded = recordInMemory()
    propagateAttributes(ALL, () => {
      const prompt = { name: 'own', version: 1, isFallback: false }
      startObservation(
        'x',
        { version: 'own', environment: 'mine', prompt },
        { asType: 'generation' },
      )
      const fallback = { name: 'f', version: 1, isFallback: true }
      startObservation('y', { prompt: fallback }, { asType: 'generation' })
    })
    expect(recorded.one('x')).toMatchObject({
      version: 'own',
      environment: 'mine',
      prompt: { name: 'own', version: 1 },
    })
    expect(recorded.one('y').prompt).toEqual({ name: 'p', version: 5 })
  })

  it('unites tags, merges metadata and replaces the rest when nested', () => {
    const recorded = recordInMemory()
    startActiveObservation('active', () => {
      propagateAttributes(ALL, () => {
        propagateAttributes(
          { userId: 'u2', tags: ['y', 'z'], metadata: { k: '2', n: '3' } },
          () => {
            startObservation('inner')
          },
        )
        startObservation('outer')
      })
    })
    const nested = {
      name: 't',
      userId: 'u2',
      tags: ['x', 'y', 'z'],
      metadata: { k: '2', empty: '', n: '3' },
    }
    expect(recorded.one('inner').trace).toMatchObject(nested)
    expect(recorded.one('active').trace).toMatchObject(nested)
    expect(recorded.one('outer')).toMatchObject(ALL_RECORDED)
  })

  it('belongs to the context of the call, not to the parent', () => {
    const recorded = recordInMemory()
    const parent = propagateAttributes({ userId: 'u' }, () => startObservation('parent'))
    parent.startObservation('child')
    expect(recorded.one('parent').trace.userId).toBe('u')
    expect(recorded.one('child').trace.userId).toBeUndefined()
  })

  it('keeps concurrent contexts apart', async () => {
    const recorded = recordInMemory()
    await Promise.all(
      ['a', 'b'].map((userId) =>
        propagateAttributes({ userId }, async () => {
          await new Promise(setImmediate)
          startObservation(userId)
        }),
      ),
    )
    expect(recorded.one('a').trace.userId).toBe('a')
    expect(recorded.one('b').trace.userId).toBe('b')
  })

  it.each<[PropagateAttributesParams, string]>([
    [{ userId: 'x'.repeat(201) }, "'userId' is over 200 characters (201)"],
    [{ sessionId: 5 as never }, "'sessionId' must be a string"],
    [{ tags: ['ok', 5 as never] }, "'tag' must be a string"],
    [{ tags: 'text' as never }, "'tags' must be an array"],
    [{ metadata: { k: {} as never } }, "'metadata.k' must be a string"],
    [{ environment: 'Bad' }, "'environment' must be 1 to 40 of a-z, 0-9, - and _"],
    [{ environment: 'langfuse-x' }, "not starting with 'langfuse'"],
    [{ environment: 'x'.repeat(41) }, "'environment' must be 1 to 40"],
    [{ environment: '' }, "'environment' must be 1 to 40"],
    [{ prompt: { name: '', version: 1 } }, "'prompt' needs a name"],
    [{ prompt: { name: 'p', version: 1.5 } }, "'prompt' needs an integer as version"],
    [{ prompt: { name: 'p', version: 'x' } }, "'prompt' needs an integer as version"],
  ])('drops %o with one warning', (params, message) => {
    const recorded = recordInMemory()
    const given = warnings()
    for (let i = 0; i < 2; i++) propagateAttributes(params, () => startObservation('x').end())
    expect(given).toEqual([expect.stringContaining(message)])
    for (const { trace, environment, prompt } of recorded.all()) {
      expect(trace).toMatchObject({ userId: undefined, sessionId: undefined, metadata: {} })
      expect(trace.tags).toEqual(Array.isArray(params.tags) ? ['ok'] : [])
      expect([environment, prompt]).toEqual([undefined, undefined])
    }
  })

  it('ignores empty values and fallback prompts silently', () => {
    const recorded = recordInMemory()
    const given = warnings()
    const prompt = { name: 'p', version: 1, isFallback: true }
    propagateAttributes({ userId: '', tags: [], metadata: {}, prompt }, () => startObservation('x'))
    expect(given).toEqual([])
    expect(recorded.one('x').prompt).toBeUndefined()
  })

  it('takes exactly 200 characters', () => {
    const recorded = recordInMemory()
    propagateAttributes({ userId: 'x'.repeat(200) }, () => startObservation('x'))
    expect(recorded.one('x').trace.userId).toHaveLength(200)
  })

  it('lets errors pass', () => {
    recordInMemory()
    const failing = () =>
      propagateAttributes({ userId: 'u' }, () => {
        throw new Error('e')
      })
    expect(failing).toThrow('e')
  })

  it('keeps baggage in the context, by the keys of Langfuse', () => {
    recordInMemory()
    propagateAttributes({ ...ALL, asBaggage: true }, () => {
      propagateAttributes({ userId: 'not in baggage' }, () => {
        expect(activeContext()?.baggage).toEqual({
          langfuse_user_id: 'u',
          langfuse_session_id: 's',
          langfuse_version: 'v',
          langfuse_trace_name: 't',
          langfuse_environment: 'e',
          langfuse_tags: 'x,y',
          langfuse_metadata_k: '1',
          langfuse_metadata_empty: '',
          langfuse_prompt_name: 'p',
          langfuse_prompt_version: '5',
        })
      })
    })
  })
})

describe('withProject', () => {
  it('names the project of what is started within, beside other attributes', () => {
    const recorded = recordInMemory()
    propagateAttributes({ userId: 'u' }, () => {
      withProject('tenant', () => startObservation('x'))
      startObservation('y')
    })
    expect(recorded.one('x')).toMatchObject({ project: 'tenant', trace: { userId: 'u' } })
    expect(recorded.one('y').project).toBeUndefined()
  })

  it('comes before the project of the options, which is that of all else', () => {
    const recorded = recordInMemory({ project: 'default' })
    withProject('tenant', () => startObservation('x'))
    startObservation('y')
    propagateAttributes({ userId: 'u' }, () => startObservation('z'))
    startActiveObservation('a', () => startObservation('b'))
    const projects = Object.fromEntries(recorded.all().map(({ name, project }) => [name, project]))
    expect(projects).toEqual({
      x: 'tenant',
      y: 'default',
      z: 'default',
      a: 'default',
      b: 'default',
    })
  })
})
