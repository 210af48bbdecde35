import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withLock } from '../../src/store/embedded/lock.ts';
import { sleep } from '../../src/time.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rekeyd-lock-'));
});
afterEach(() => rm(dir, { recursive: true }));

it('lets one in at a time, also when a task fails', async () => {
  let inside = 0;
  const tasks = Array.from({ length: 12 }, (_, index) =>
    withLock(dir, async () => {
      inside += 1;
      const met = inside;
      await sleep(50); // long enough for the others to try
      inside -= 1;
      if (index % 3 === 0) throw new Error('a task that fails');
      return met;
    }),
  );
  const outcomes = await Promise.allSettled(tasks);
  expect(outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))).toEqual(
    Array(8).fill(1),
  );
  expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(4);
  expect(await readdir(dir)).toEqual(['turn-12']);
});

it('passes over holders that were killed, and leaves no turn of theirs behind', async () => {
  const { pid } = spawnSync('true');
  await writeFile(join(dir, 'turn-7'), '');
  await writeFile(join(dir, 'turn-8'), `${pid}`);
  expect(await withLock(dir, () => readdir(dir))).toEqual(['turn-9']);
});

it.each([
  ['started at another time', `${process.pid} 1 ${randomUUID()}`],
  ['where no times are known', `${process.pid}  ${randomUUID()}`],
  ['as version 0.1 noted it', `${process.pid}`],
])('passes over a holder that was killed and had the process id that is now ours: %s', async (_, note) => {
  await writeFile(join(dir, 'turn-3'), note);
  expect(await withLock(dir, () => readdir(dir))).toEqual(['turn-4']);
});

it('passes over a holder whose process id another process has by now', async () => {
  await writeFile(join(dir, 'turn-3'), `${process.ppid} 1 ${randomUUID()}`);
  expect(await withLock(dir, () => readdir(dir))).toEqual(['turn-4']);
});

it('waits for a holder as long as it lives', async () => {
  const holder = spawn('sleep', ['600']);
  await once(holder, 'spawn');
  await writeFile(join(dir, 'turn-1'), `${holder.pid}`);
  const order: string[] = [];
  const task = withLock(dir, async () => void order.push('entered'));
  await sleep(100); // long enough to try
  order.push('killed');
  holder.kill('SIGKILL');
  await task;
  expect(order).toEqual(['killed', 'entered']);
});
