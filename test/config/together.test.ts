import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/model.ts';
import { API_KEY, env, folder, inDeployment, refusal, useFolder } from './write.ts';

useFolder();

describe('problems', () => {
  test('are reported all at once, in the order of the file, each with its line', async () => {
    const error = await refusal(`
data_dir: ./data
encryption:
  keks: [{ id: k1, key: env:NONE }, { id: k1, key: env:KEK }]
deployments:
  - id: 185019846023
    api_key: ${API_KEY}
    apps:
      - slug: mcp-auth
        policy: payment
policies:
  payments:
    schedule: "61 * * * *"
    strategy: overlap
    format: pem
    colour: red
http:
  certificates: [{ name: siem, scopes: [read], only: 185019846023/mcp-aut }]
`);
    expect(error.problems.map(({ path, line }) => [path, line])).toEqual([
      ['encryption.keks[0].key', 4],
      ['encryption.keks[1].id', 4],
      ['deployments[0].id', 6],
      ['deployments[0].api_key', 7],
      ['deployments[0].apps[0].policy', 10],
      ['policies.payments.schedule', 13],
      ['policies.payments.strategy', 14],
      ['policies.payments.colour', 16],
      ['http.certificates', 18],
      ['http.certificates[0].only', 18],
    ]);
    expect(error.message.split('\n')).toHaveLength(11);
    expect(error.message).toContain('(10 problems)');
    expect(error.message).toContain('names an app that the config does not have');
  });

  test.each<[what: string, text: string, problems: Partial<Problem>[]]>([
    ['indentation', 'a:\n  - b\n c: 1\n', [{ line: 3 }]],
    ['a repeated key', 'a: 1\nb: 1\na: 2\n', [{ line: 3, message: expect.stringContaining('unique') }]],
    ['several', 'a: @x\nb: 1\nc: @y\n', [{ line: 1 }, { line: 3 }]],
    [
      'an unquoted cron star',
      'a:\n  schedule: */5 * * * *\n',
      [{ line: 2, message: expect.stringContaining('in quotes') }],
    ],
  ])('of YAML syntax have their line: %s', async (_, text, problems) => {
    const error = await refusal(text);
    expect(error.problems).toEqual(problems.map((problem) => ({ path: '', message: expect.any(String), ...problem })));
    for (const { line } of problems) expect(error.message).toContain(`  line ${line}: not valid YAML`);
  });

  test('an empty file lacks only what has no default', async () => {
    expect((await refusal('')).problems.map(({ path }) => path)).toEqual(['encryption', 'deployments']);
  });

  test.each(['- a', 'text', '5'])('a file that is no mapping is refused: %s', async (text) => {
    expect((await refusal(text)).problems).toEqual([
      { path: '', message: expect.stringContaining('it holds no settings'), line: null },
    ]);
  });

  test('a small file that unfolds without end is refused', async () => {
    const tenfold = (name: string) => `[${Array.from({ length: 11 }, () => `*${name}`).join(', ')}]`;
    const text = `a: &a x\nb: &b ${tenfold('a')}\nc: &c ${tenfold('b')}\nd: ${tenfold('c')}\n`;
    expect((await refusal(text)).message).toMatch(/alias/);
  });

  test('a config file that is not there', async () => {
    const missing = join(folder, 'none.yaml');
    await expect(loadConfig(missing, env)).rejects.toThrow(
      `the file ${missing} does not exist: name the config file with --config`,
    );
  });

  test('a secret file without permission', async ({ skip }) => {
    skip(process.getuid?.() === 0, 'root may read every file');
    await writeFile(join(folder, 'locked'), 'x');
    await chmod(join(folder, 'locked'), 0);
    const error = await refusal(inDeployment({ api_key: 'file:locked' }));
    expect(error.problems).toMatchObject([
      { path: 'deployments[0].api_key', message: expect.stringContaining('may not read') },
    ]);
  });
});
