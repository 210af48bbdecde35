/** What the sink applies, against the published schemas of Kubernetes, which the Python package kubernetes-validate carries. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { kubernetesSink } from '../../../src/deliver/kubernetes/sink.ts';
import { PYTHON, withoutModule } from '../../support/python.ts';
import { contents, sinkKey } from '../contents.ts';
import { startCluster } from './server.ts';

const WITHOUT = await withoutModule('kubernetes_validate');

const PROGRAM = `
import json, sys, kubernetes_validate
for one in json.load(sys.stdin):
    try:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        print('valid')
    except kubernetes_validate.ValidationError as error:
        print('invalid: ' + error.message.splitlines()[0])
`;

function validated(documents: readonly unknown[]): readonly string[] {
  const { stdout, stderr, status } = spawnSync(PYTHON, ['-c', PROGRAM], {
    input: JSON.stringify(documents),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim().split('\n');
}

test('is what the schema of a Secret asks for, and a mistake in it is found', async ({ skip }) => {
  skip(WITHOUT !== null, WITHOUT ?? '');
  const cluster = await startCluster();
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-kubernetes-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, 'token-1');
  const sink = kubernetesSink(
    {
      ...{ kind: 'kubernetes', url: cluster.url, namespace: 'apps', prefix: 'rekeyd', clients: [], timeoutMs: 20_000 },
      ...{ tokenFile, route: { proxy: null, authorities: [] } },
    },
    { store: null, now: Date.now },
  );
  onTestFinished(() => sink.close());
  const [a, b, c] = [await sinkKey(), await sinkKey(), await sinkKey()];
  await sink.deliver(contents({ current: a, next: b, previous: c }));
  await sink.deliver(contents({}, { epoch: 2 }));
  const [first] = cluster.applied;
  const broken = { ...(first as object), data: { 'current.pem': 1 } };
  const odd = { ...(first as object), dta: {} };
  expect(validated([...cluster.applied, broken, odd])).toEqual([
    'valid',
    'valid',
    expect.stringMatching(/^invalid: /),
    expect.stringMatching(/^invalid: .*dta/),
  ]);
});
