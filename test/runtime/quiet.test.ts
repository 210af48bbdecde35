/** What the log leaves out, and what packages print. */
import { expect, test } from 'vitest';
import { divertConsole } from '../../src/runtime/console.ts';
import { createLog } from '../../src/runtime/log.ts';
import { openQuiet } from '../../src/runtime/quiet.ts';

test('an equal line is written once a minute, with how often it was left out', () => {
  let now = 0;
  const quiet = openQuiet(() => now);
  expect(quiet.leftOut({ queue: 'a' }, 'failed')).toBe(0);
  for (now = 1; now < 60_000; now += 1_000) expect(quiet.leftOut({ queue: 'a' }, 'failed')).toBeNull();
  expect(quiet.leftOut({ queue: 'b' }, 'failed')).toBe(0);
  now = 60_000;
  expect(quiet.leftOut({ queue: 'a' }, 'failed')).toBe(60);
  expect(quiet.leftOut({ queue: 'a' }, 'failed')).toBeNull();
  for (let other = 0; other < 1_000; other++) quiet.leftOut({ other }, 'failed');
  expect(quiet.leftOut({ queue: 'a' }, 'failed'), 'the oldest is forgotten').toBe(0);
});

test('warnings and errors are said once, what was done is always said', () => {
  const lines: { msg: string; level: string }[] = [];
  const log = createLog({
    level: 'debug',
    destination: { write: (line: string) => void lines.push(JSON.parse(line)) },
  });
  for (let time = 0; time < 3; time++) {
    log.info({ client: 'a' }, 'done');
    log.warn({ client: 'a' }, 'not done');
    log.warn('not at all');
    log.error({ client: time }, 'failed');
  }
  const said = lines.map(({ msg }) => msg).sort();
  expect(said).toEqual(['done', 'done', 'done', 'failed', 'failed', 'failed', 'not at all', 'not done']);
});

test('what a package prints goes to the log, without a stack trace, until the console is given back', () => {
  const { warn } = console;
  const said: unknown[] = [];
  const release = divertConsole({ warn: (fields) => void said.push(fields) });
  try {
    console.warn('IMPORTANT! Eviction policy is %s', 'allkeys-lru');
    console.error('[ioredis] Unhandled error event:', new Error('gone').stack);
    process.emit('warning', new Error('too many listeners'));
  } finally {
    release();
  }
  expect(said).toEqual([
    { said: 'IMPORTANT! Eviction policy is allkeys-lru' },
    { said: '[ioredis] Unhandled error event: Error: gone' },
    { said: 'Error: too many listeners' },
  ]);
  expect(console.warn).toBe(warn);
});
