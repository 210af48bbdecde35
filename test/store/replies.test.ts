import { expect, it } from 'vitest';
import { isMisdirected, isPassing, storeError } from '../../src/store/redis/replies.ts';

it.each<[answer: string, meaning: 'elsewhere' | 'later' | 'not_durable' | 'other']>([
  ["READONLY You can't write against a read only replica.", 'elsewhere'],
  [
    "ERR Error running script (call to f_1): @user_script:9: -READONLY You can't write against a read only replica.",
    'elsewhere',
  ],
  ['MOVED 3999 127.0.0.1:6381', 'elsewhere'],
  ['CLUSTERDOWN The cluster is down', 'elsewhere'],
  ['UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)', 'elsewhere'],
  ['ERR WAITAOF cannot be used with replica instances. Please also note that …', 'elsewhere'],
  ['TRYAGAIN Multiple keys request during rehashing of slot', 'later'],
  ['ASK 3999 127.0.0.1:6381', 'later'],
  ['LOADING Redis is loading the dataset in memory', 'later'],
  ['NOREPLICAS Not enough good replicas to write.', 'not_durable'],
  ["OOM command not allowed when used memory > 'maxmemory'.", 'not_durable'],
  [
    "ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.",
    'not_durable',
  ],
  [
    'ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -MISCONF Errors writing to the AOF file: No space left on device',
    'not_durable',
  ],
  ['REKEYD_OTHER another store', 'other'],
  ['ERR a client is named MOVED 1', 'other'],
])('%s', (answer, meaning) => {
  const error = Object.assign(new Error(answer), { command: { name: 'evalsha', args: ['a sealed key'] } }); // as ioredis has them
  expect(storeError(error)).not.toHaveProperty('command');
  expect([isMisdirected(error), isPassing(error)]).toEqual([meaning === 'elsewhere', meaning === 'later']);
  if (meaning === 'not_durable') expect(storeError(error)).toMatchObject({ code: 'not_durable' });
  if (meaning === 'other') expect(storeError(error)).not.toHaveProperty('code');
});
