/** What runs on other people's machines with a token of ours. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

const FOLDER = new URL('../../.github/workflows/', import.meta.url);
const files = (await readdir(FOLDER)).filter((name) => /\.ya?ml$/.test(name));

const step = z.looseObject({ uses: z.string().optional(), run: z.string().optional() });
const workflow = z.looseObject({
  permissions: z.record(z.string(), z.string()),
  jobs: z.record(
    z.string(),
    z.looseObject({ permissions: z.unknown().optional(), uses: z.unknown().optional(), steps: z.array(step) }),
  ),
});

/** A tag can be moved to other code; a commit cannot. */
function movable(text: string): string[] {
  const { jobs } = workflow.parse(parse(text));
  const steps = Object.values(jobs).flatMap(({ steps }) => steps);
  return steps.flatMap(({ uses }) => (uses === undefined || /@[0-9a-f]{40}$/.test(uses) ? [] : [uses]));
}

/** What may be changed from there, by workflow and job. */
const MAY: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  'release.yml': {
    packages: { contents: 'read', 'id-token': 'write' },
    image: { contents: 'read', packages: 'write' },
    draft: { contents: 'write' },
  },
};

test.each(files)('%s runs no action that somebody can change, with a token that may only read', async (name) => {
  const text = await readFile(new URL(name, FOLDER), 'utf8');
  expect(movable(text)).toEqual([]);
  const { permissions, jobs } = workflow.parse(parse(text));
  expect(permissions).toEqual({ contents: 'read' });
  for (const [job, { permissions, uses }] of Object.entries(jobs)) {
    expect([job, permissions, uses]).toEqual([job, MAY[name]?.[job], undefined]);
  }
});

test('an action by tag would be found, and one by commit would not', () => {
  const uses = (reference: string) => `permissions: {}\njobs: { a: { steps: [{ uses: "${reference}" }] } }`;
  expect(movable(uses('actions/checkout@v6'))).toEqual(['actions/checkout@v6']);
  expect(movable(uses(`actions/checkout@${'0'.repeat(40)}`))).toEqual([]);
});

test('the workflow asks for known vulnerabilities, and weekly', async () => {
  const text = await readFile(new URL('ci.yml', FOLDER), 'utf8');
  const { on, jobs } = parse(text);
  expect(on.schedule).toHaveLength(1);
  const runs = jobs.test.steps.map(({ run }: { run?: string }) => run);
  expect(runs).toEqual(expect.arrayContaining(['.ci/run', 'npm audit', 'npm audit signatures']));
});

test('a release is published by jobs that run no tests, after one that does, and after a person agreed', async () => {
  const { on, jobs } = parse(await readFile(new URL('release.yml', FOLDER), 'utf8'));
  expect(on).toEqual({ push: { tags: ['v*.*.*'] } });
  const runsOf = (job: string): string => jobs[job].steps.map(({ run = '' }: { run?: string }) => run).join('\n');
  expect(Object.keys(jobs)).toEqual(['build', 'packages', 'image', 'draft']);
  expect(runsOf('build')).toContain('.ci/run');
  for (const job of ['packages', 'image']) expect(jobs[job]).toMatchObject({ needs: 'build', environment: 'release' });
  expect(jobs.draft.needs).toEqual(['build', 'packages', 'image']);
  for (const job of Object.keys(jobs)) expect(runsOf(job), job).toContain('verify-tag');
  const { scripts } = JSON.parse(await readFile(new URL('../../package.json', FOLDER), 'utf8'));
  for (const job of ['packages', 'image', 'draft']) {
    expect(runsOf(job)).not.toContain('.ci/run');
    expect(runsOf(job).replaceAll('npm ci --ignore-scripts', '')).not.toMatch(/npm (?:ci|install|test)/);
    for (const [, script] of runsOf(job).matchAll(/npm run -s (\w+)/g)) expect(Object.keys(scripts)).toContain(script);
  }
  for (const part of ['publish --provenance', './release/rekeyd-[0-9]*.tgz', './release/rekeyd-signer-*.tgz'])
    expect(runsOf('packages')).toContain(part);
  for (const part of ['docker buildx build', '--sbom=true']) expect(runsOf('image')).toContain(part);
});

/** A repository on a disk, with a branch and a list of those who may release, and a tag that one of them made. */
async function tagged() {
  const folder = await mkdtemp(join(tmpdir(), 'rekeyd-workflow-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const run = (program: string, ...args: readonly string[]) =>
    execFileSync(program, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const git = (...args: readonly string[]) => run('git', '-C', 'owner/name', '-c', 'user.name=A', ...args);
  for (const name of ['one', 'other']) run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', name);
  run('git', 'init', '-q', '-b', 'main', 'owner/name');
  git('config', 'user.email', 'a@example.com');
  git('config', 'gpg.format', 'ssh');
  const allow = async (name: string) => {
    const key = await readFile(join(folder, `${name}.pub`), 'utf8');
    await writeFile(join(folder, 'owner/name/release-signers'), `a@example.com namespaces="git" ${key}`);
    git('add', '-A');
    git('commit', '-qm', `${name} may release`);
  };
  const tag = (name: string) => {
    git('-c', `user.signingKey=${join(folder, name)}`, 'tag', '-f', '-s', 'v1.2.3', '-m', 'v1.2.3');
    return git('rev-parse', 'HEAD').trim();
  };
  return { folder, git, allow, tag };
}

test('only a tag that the list on the branch allows, and that was not moved, is checked out', {
  timeout: 60_000,
}, async () => {
  const { jobs } = parse(await readFile(new URL('release.yml', FOLDER), 'utf8'));
  const { folder, git, allow, tag } = await tagged();
  let runs = 0;
  const checkOut = async (sha: string) => {
    const cwd = join(folder, `run-${++runs}`);
    await mkdir(cwd);
    const env = { ...process.env, TOKEN: 'token', BRANCH: 'main', RUNNER_TEMP: cwd, GITHUB_SHA: sha };
    const of = { GITHUB_SERVER_URL: `file://${folder}`, GITHUB_REPOSITORY: 'owner/name', GITHUB_REF_NAME: 'v1.2.3' };
    return spawnSync('bash', ['-e', '-c', jobs.build.steps[0].run], { cwd, env: { ...env, ...of } }).status;
  };
  await allow('one');
  const first = tag('one');
  expect(await checkOut(first)).toBe(0);
  // The list that the tag itself brings allows it.
  git('checkout', '-q', '-b', 'side');
  await allow('other');
  const side = tag('other');
  expect(await checkOut(side)).not.toBe(0);
  // By one who may, but to another commit than the run is for.
  tag('one');
  expect(await checkOut(side)).toBe(0);
  expect(await checkOut(first)).not.toBe(0);
});
