/** Alert rules and the dashboard: promtool accepts them, and a real Prometheus that reads real workers fires and shows. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { aged } from '../support/aged.ts';
import { caller, makeToken } from '../support/api.ts';
import { DEPLOYMENT, PEM_APP, startFleet } from '../support/fleet.ts';
import { noPrometheus, startPrometheus } from '../support/prometheus.ts';
import { until } from '../support/until.ts';
import { SECRET, startReceiver } from '../webhooks/receiver.ts';

const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'deploy/prometheus');
const UNIT_TESTS = ['alerts.test.yml', 'alerts-slow.test.yml'];

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

const source = readFileSync(join(FOLDER, 'alerts.yml'), 'utf8');
const rules: readonly Rule[] = parse(source).groups.flatMap(({ rules: own }: { rules: Rule[] }) => own);

interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
}

const dashboard: { readonly panels: readonly Panel[] } = JSON.parse(
  readFileSync(join(ROOT, 'deploy/grafana/rekeyd.json'), 'utf8'),
);

/** What each section of the runbook says, in this order. */
const SAYS = ['You see', 'It means', 'Do', 'It is over when'];

/** The sections of the runbook by heading. */
function sectionsOf(text: string, level: string): ReadonlyMap<string, string> {
  const [, ...parts] = text.split(new RegExp(`^${level} `, 'm'));
  return new Map(
    parts.map((part) => {
      const [heading = ''] = part.split('\n', 1);
      // A section ends where one above it begins.
      return [heading, part.slice(heading.length).split(/^#+ /m)[0] ?? ''];
    }),
  );
}

const says = (section: string) => [...section.matchAll(/^\*\*(.*?)\*\*/gm)].map(([, label]) => label);

describe('each alert', () => {
  const runbook = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');
  const sections = sectionsOf(runbook, '###');

  test.each(rules)(
    '$alert has a section in the runbook that says what to do, with a command',
    ({ alert, annotations }) => {
      expect(annotations.runbook).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
      const section = sections.get(alert) ?? '';
      expect(says(section)).toEqual(SAYS);
      expect(section).toMatch(/^rekeyd /m);
    },
  );

  test('is there: no section is about one that is gone', () => {
    expect([...sections.keys()].toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
  });

  test.each([
    'A key leaked',
    'The KEK leaked',
    'A host was taken',
    'The API key was revoked',
    'Redis was lost',
    'A rotation failed',
  ])('aside, the runbook says what to do when "%s"', (what) => {
    const section = sectionsOf(runbook, '##').get(what) ?? '';
    expect(says(section)).toEqual(SAYS);
    expect(section).toMatch(/^ *rekeyd /m);
  });

  test('would be missed without an end: a section that does not say it is found', () => {
    expect(
      says(sectionsOf('### A\n\n**You see** x\n\n**Do** this.\n\n## B\n\n**It means** y\n', '###').get('A') ?? ''),
    ).toEqual(['You see', 'Do']);
  });

  test('has a unit test in which it fires', () => {
    const tests = UNIT_TESTS.flatMap((file) => parse(readFileSync(join(FOLDER, file), 'utf8')).tests);
    const fires = tests.flatMap(({ alert_rule_test: checks }) =>
      checks.flatMap(({ alertname, exp_alerts: expected }: { alertname: string; exp_alerts: unknown[] }) =>
        expected.length > 0 ? [alertname] : [],
      ),
    );
    expect([...new Set(fires)].toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
  });
});

test('promtool accepts the rules, and their unit tests pass', ({ skip }) => {
  if (noPrometheus !== null) skip(noPrometheus);
  for (const args of [
    ['check', 'rules', 'alerts.yml'],
    ['test', 'rules', ...UNIT_TESTS],
  ]) {
    const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: FOLDER, encoding: 'utf8' });
    expect(status, `${stdout}${stderr}`).toBe(0);
  }
});

test('a real Prometheus fires for an overdue key, a paused deployment and stopped workers, and fills the dashboard', async ({
  skip,
}) => {
  if (noPrometheus !== null) skip(noPrometheus);
  const receiver = await startReceiver();
  const secrets = await mkdtemp(join(tmpdir(), 'rekeyd-alerts-'));
  onTestFinished(() => rm(secrets, { recursive: true }));
  await writeFile(join(secrets, 'hook'), SECRET);
  const siem = { name: 'siem', url: receiver.url, secret: `file:${secrets}/hook`, allow_private: ['127.0.0.1'] };
  const fleet = await startFleet({
    apps: [PEM_APP],
    config: { http: { listen: '127.0.0.1:0' }, audit: { export: './audit' }, webhooks: [siem] },
  });
  const [old, leaked] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  await aged(fleet, old, 100);
  const service = await fleet.start({ http: true });
  const url = service.url ?? '';
  const token = await makeToken(fleet, { name: 'prometheus', scopes: ['metrics'] });
  const exposed = await caller(url, token)('/metrics');
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: exposed.body,
    encoding: 'utf8',
  });
  expect(status, `${stdout}${stderr}`).toBe(0);

  const dir = join(fleet.dir, 'prometheus');
  await mkdir(dir);
  // Nobody waits for days here.
  const swift = join(dir, 'alerts.yml');
  await writeFile(swift, source.replaceAll(/^ +for: .*\n/gm, ''));
  const prometheus = await startPrometheus(dir, [{ url, token }], [swift]);
  const fires = (what: string, isSo: (firing: ReadonlySet<string>) => boolean) =>
    until(
      what,
      async (saw) => {
        const firing = await prometheus.firing();
        saw([...firing]);
        return isSo(firing);
      },
      30_000,
    );

  // Before the first scrape no worker is seen. Nothing here starts rotations by the clock, and the fleet is well but for one key.
  const expected = ['RekeydKeyOverdue', 'RekeydNoTick'];
  await fires(`${expected} fire alone`, (firing) => `${[...firing].toSorted()}` === `${expected}`);
  await fleet.reached(leaked, await fleet.rotate(leaked, { compromised: true }));
  for (const { title, targets } of dashboard.panels) {
    for (const { expr } of targets) {
      await until(
        `"${title}" shows something: ${expr}`,
        async () => (await prometheus.query(expr.replaceAll('$__rate_interval', '1m'))).length > 0,
        30_000,
      );
    }
  }
  const always = { match: { path: /oauth\/apps/ }, times: Number.POSITIVE_INFINITY };
  fleet.emulator.faults.add({ kind: 'status', status: 401, message: 'no', ...always });
  await fleet.resources.store.pause(DEPLOYMENT, 'its API key is refused', []);
  await fires('RekeydDeploymentPaused fires', (firing) => firing.has('RekeydDeploymentPaused'));
  await service.stop();
  await fires('RekeydWorkerDown fires', (firing) => firing.has('RekeydWorkerDown'));
  await fires('RekeydGone fires', (firing) => firing.has('RekeydGone'));
});
