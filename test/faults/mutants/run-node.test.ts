import { expect, test } from 'vitest';
import { runNode } from './run-node.ts';

const run = (script: string, mostMs: number) => runNode('/', ['-e', script], mostMs, 200);

test('a process that does not end is ended, and said to be hung', async () => {
  const waits = 'setInterval(() => {}, 1_000)';
  const deaf = `process.on('SIGTERM', () => {}); ${waits}`;
  const ran = await Promise.all([run(waits, 300), run(deaf, 2_000), run(`console.log('done')`, 60_000)]);
  expect(ran).toEqual([
    { isHung: true, stdout: '', stderr: '' },
    { isHung: true, stdout: '', stderr: '' },
    { isHung: false, stdout: 'done\n', stderr: '' },
  ]);
});
