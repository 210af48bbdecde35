/** What a shell completes. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { COMPILED } from '../support/compiled.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const run = promisify(execFile);

async function rekeyd(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [CLI, ...args], { env: { PATH: process.env.PATH, ...COMPILED } });
  return stdout;
}

/** What may follow these words, without what the library says to the shell. */
async function next(...words: readonly string[]): Promise<readonly string[]> {
  const lines = (await rekeyd('complete', '--', ...words)).trimEnd().split('\n');
  expect(lines.at(-1)).toMatch(/^:\d+$/);
  return lines.slice(0, -1).map((line) => line.split('\t')[0] ?? '');
}

test('commands, their commands, options and choices are completed, with what they do', async () => {
  const [first, half, nested, option, shells] = await Promise.all([
    next(''),
    next('ro'),
    next('keys', ''),
    next('rotate', '--com'),
    next('completion', ''),
  ]);
  expect(first).toEqual(expect.arrayContaining(['start', 'rotate', 'status', 'audit', 'keys', 'completion']));
  expect(first).not.toContain('complete');
  expect(half).toEqual(['rotate', 'rollback']);
  expect(nested).toEqual(expect.arrayContaining(['import', 'rewrap']));
  expect(option).toEqual(['--compromised']);
  expect(shells).toEqual(['bash', 'zsh', 'fish']);
  expect(await rekeyd('complete', '--', 'doct')).toMatch(/^doctor\tlook for what is wrong, say what to do\n/);
});

/** Stands in for the package bash-completion, which hands over what was typed. */
const BASH = `
rekeyd() { "${process.execPath}" "${CLI}" "$@"; }
_get_comp_words_by_ref() { cur="\${COMP_WORDS[COMP_CWORD]}"; words=("\${COMP_WORDS[@]}"); }
typed() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); __rekeyd_complete; echo "\${COMPREPLY[*]}"; }
`;

test('bash takes the script, and completes by it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-completion-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const file = join(dir, 'typing.bash');
  await writeFile(file, `${BASH}${await rekeyd('completion', 'bash')}\ntyped rekeyd enr\ntyped rekeyd audit ''\n`);
  const { stdout } = await run('bash', [file], { env: { PATH: process.env.PATH, ...COMPILED } });
  expect(stdout).toBe('enroll\ntail export keys verify rotate-key new-segment help\n');
});

test.each([
  ['zsh', /^#compdef rekeyd\n/],
  ['fish', /^# fish completion for rekeyd/],
])('there is a script for %s', async (shell, start) => {
  expect(await rekeyd('completion', shell)).toMatch(start);
});

test.each([['powershell'], []])('another shell is wrong usage: %s', async (...shell) => {
  await expect(rekeyd('completion', ...shell)).rejects.toMatchObject({ code: 2 });
});
