import { describe, expect, test } from 'vitest'
import { parseRedisUrl } from './redis-url.ts'

const one = {
  type: 'single',
  tls: false,
  nodes: [{ host: 'localhost', port: 6379 }],
  user: undefined,
  password: undefined,
  database: 0,
  master: '',
}

describe('a URL of Redis', () => {
  test.each<[string, object]>([
    ['redis://localhost', { ...one, shown: 'redis://localhost' }],
    [
      'rediss://app:p%40ss%2F@r.example:6380/2',
      {
        ...one,
        tls: true,
        nodes: [{ host: 'r.example', port: 6380 }],
        user: 'app',
        password: 'p@ss/',
        database: 2,
        shown: 'rediss://r.example:6380/2',
      },
    ],
    [
      'redis://:secret@[::1]:6379',
      {
        ...one,
        nodes: [{ host: '::1', port: 6379 }],
        password: 'secret',
        shown: 'redis://[::1]:6379',
      },
    ],
    [
      'redis+sentinel://:secret@a,b:26380/mymaster',
      {
        ...one,
        type: 'sentinel',
        nodes: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 26380 },
        ],
        password: 'secret',
        master: 'mymaster',
        shown: 'redis+sentinel://a,b:26380/mymaster',
      },
    ],
    [
      'rediss+cluster://a:7000,b:7001',
      {
        ...one,
        type: 'cluster',
        tls: true,
        nodes: [
          { host: 'a', port: 7000 },
          { host: 'b', port: 7001 },
        ],
        shown: 'rediss+cluster://a:7000,b:7001',
      },
    ],
  ])('%s', (text, target) => {
    expect(parseRedisUrl(text)).toEqual(target)
  })

  test.each([
    'http://localhost',
    'redis:localhost',
    'redis://',
    'redis://a,b',
    'redis://a:0',
    'redis://a:70000',
    'redis://a/mymaster',
    'redis://u:p@ss@a',
    'redis://u:%zz@a',
    'redis+sentinel://a',
    'redis+cluster://a/1',
    'redis://a?db=1',
  ])('%s is none', (text) => {
    expect(parseRedisUrl(text)).toBeUndefined()
  })
})
