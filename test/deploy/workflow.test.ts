/** What runs on other people's machines with a token of ours. */
import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
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
  'release.yml': { publish: { contents: 'write', 'id-token': 'write', packages: 'write' } },
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

test('a release is published by a job that runs no tests, after one that does, and after a person agreed', async () => {
  const { on, jobs } = parse(await readFile(new URL('release.yml', FOLDER), 'utf8'));
  expect(on).toEqual({ push: { tags: ['v*.*.*'] } });
  const runsOf = (job: string) => jobs[job].steps.map(({ run = '' }: { run?: string }) => run).join('\n');
  expect(Object.keys(jobs)).toEqual(['build', 'publish']);
  expect(jobs.publish).toMatchObject({ needs: 'build', environment: 'release' });
  expect(runsOf('build')).toContain('verify-tag');
  expect(runsOf('build')).toContain('.ci/run');
  expect(runsOf('publish')).not.toContain('.ci/run');
  for (const part of ['npm publish', '--provenance', 'rekeyd-signer-*.tgz', 'docker buildx build', '--sbom=true'])
    expect(runsOf('publish').replaceAll(/npm@\S+/g, 'npm')).toContain(part);
  const { scripts } = JSON.parse(await readFile(new URL('../../package.json', FOLDER), 'utf8'));
  expect(Object.keys(scripts)).toContain(/npm run -s (\w+) -- release/.exec(runsOf('publish'))?.[1]);
});
