/** What docs/audit.md tells an auditor to run agrees with our verifier. */
import { spawnSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openEmpty } from '../store/fixtures.ts';
import { documentedCode } from '../support/documented.ts';
import { startRedis } from '../support/redis.ts';
import { append, exported, grow, verdict } from './sealing.ts';

const missing = ['jq', 'openssl'].filter((program) => spawnSync(program, ['--version']).error !== undefined);

it('openssl and jq compute the same hashes, and verify the same signatures', async ({ skip }) => {
  if (missing.length > 0) skip(`not on the PATH: ${missing.join(', ')}`);
  const server = await startRedis();
  const { store, close } = await openEmpty(server.socketPath);
  try {
    await grow(store, [10, 25, 3]);
    await append(store, 4);
    const dir = await exported(store);
    const run = () =>
      spawnSync('bash', ['-euo', 'pipefail', '-c', documentedCode('audit.md', 'bash'), 'sh', dir], {
        encoding: 'utf8',
      });
    const { status, stdout, stderr } = run();
    expect([status, stdout.trim()], stderr).toEqual([0, '46 entries, 3 checkpoints']);
    expect(await verdict(dir)).toMatchObject({ last: 46 });
    const [name = ''] = (await readdir(dir)).filter((file) => file.endsWith('.jsonl'));
    const text = await readFile(join(dir, name), 'utf8');
    await writeFile(join(dir, name), text.replace('"entry 22"', '"entry 23"'));
    expect([run().status, run().stdout.trim()]).toEqual([1, 'entry 35 differs']);
    const jws = /"jws":"[^"]*\.[^"]*\.([^"]*)"/.exec(text)?.[1] ?? '';
    await writeFile(join(dir, name), text.replace(jws, [...jws].toReversed().join('')));
    expect(run().status, 'a signature that is not valid').not.toBe(0);
  } finally {
    await close();
    await server.stop();
  }
});
