/** `rekeyd audit keys` on the export of real rotations, beside what the server let sign in. */
import { spawnSync } from 'node:child_process';
import { appendFile, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { exportAudit } from '../../src/audit/export.ts';
import { entryOf, readExports } from '../../src/audit/read.ts';
import type { AuditEntry } from '../../src/core/audit.ts';
import type { KeyAt } from '../../src/core/key-line.ts';
import { type ClientAt, KeyTimes } from '../../src/core/key-times.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { releaseClient } from '../../src/rotation/release.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { COMPILED } from '../support/compiled.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { beginRollbacks } from '../support/rolling-back.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

/** Neither a config nor Redis is there. */
function rekeyd(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'audit', 'keys', ...args], {
    encoding: 'utf8',
    env: { ...COMPILED },
  });
  return { code: status, stdout, stderr };
}

const STANDBY = { ...PEM_APP, slug: 'standby-app', policy: { standby: true, overlap: '0s' } };

/** Each client goes through something else. */
async function happenings(fleet: Fleet) {
  const [overlap, cutover, lost] = await Promise.all([KID_APP, PEM_APP, PEM_APP].map((app) => fleet.managed(app)));
  const [compromised, back, released] = await Promise.all([STANDBY, PEM_APP, KID_APP].map((app) => fleet.managed(app)));
  const taken = await fleet.foreign(KID_APP);
  if (!overlap || !cutover || !lost || !compromised || !back || !released) throw new Error('no clients');
  const put = await beginRollbacks(fleet, [back]);
  fleet.emulator.faults.add({ kind: 'drop', when: 'after', match: { ...CHANGE, client: lost.id } });
  await fleet.start();
  const logins = await Promise.all(
    [overlap, cutover, lost, compromised, back].map((client) => startLogins(client, fleet)),
  );
  const rotate = async (client: FleetClient, more = {}) => fleet.reached(client, await fleet.rotate(client, more));
  await Promise.all([
    ...[overlap, cutover, lost].map((client) => rotate(client)),
    rotate(compromised, { compromised: true, keep_standby: true }),
    rotate(taken, { take_over: true }),
    fleet.reached(back, put[0] ?? ''),
  ]);
  for (const login of logins) expect((await login.stop()).refused).toEqual([]);
  const cause = { actor: 'test', reason: 'they do it themselves', request: null };
  const file = join(fleet.dir, 'released.pem');
  await releaseClient(fleet.resources, keksOf(fleet.config), { ref: released.ref, file, cause });
  return { overlap, cutover, lost, compromised, back, released, taken };
}

async function entriesOf(dir: string): Promise<AuditEntry[]> {
  const entries: AuditEntry[] = [];
  await readExports([dir], (line) => entries.push(entryOf(line)));
  return entries;
}

function keysAt(entries: readonly AuditEntry[], at: number, client: string): readonly KeyAt[] {
  const times = new KeyTimes(at, client);
  for (const entry of entries) times.take(entry);
  return times.answer().clients.flatMap(({ keys }) => keys);
}

test('every sign-in that the server accepted is told by the log, and each key with its times', async () => {
  const fleet = await startFleet({ apps: [KID_APP, PEM_APP, STANDBY] });
  const clients = await happenings(fleet);
  const dir = join(fleet.dir, 'exported');
  await exportAudit(fleet.resources.store, dir);
  const entries = await entriesOf(dir);

  const byId = new Map(Object.values(clients).map(({ clientId, ref }) => [clientId, ref]));
  const accepted = fleet.emulator.log.filter(({ verdict }) => verdict === 'accepted');
  const signedIn = new Set<string>();
  for (const { clientId, doneAt, at, presentedKid = '' } of accepted) {
    const ref = byId.get(clientId ?? '') ?? '';
    signedIn.add(`${ref} ${presentedKid}`);
    // A key is proven before it is imported, and the log knows its client.
    const known = Date.parse(entries.find(({ client }) => client === ref)?.time ?? '');
    if ((doneAt ?? at) < known) continue;
    expect(keysAt(entries, doneAt ?? at, ref).map(({ kid }) => kid)).toContain(presentedKid);
  }
  expect(signedIn.size).toBeGreaterThan(9);

  const last = entries.at(-1);
  const { code, stdout } = rekeyd('--at', last?.time ?? '', '--json', dir);
  const document = JSON.parse(stdout);
  expect(document).toMatchObject({ complete: true, problems: [], first: { seq: 1 }, last: { seq: last?.seq } });
  expect(code).toBe(0);
  const at = (client: FleetClient): ClientAt => document.clients.find((one: ClientAt) => one.client === client.ref);
  for (const client of Object.values(clients)) {
    const active = entries.findLast(({ type, client: ref }) => type === 'key.activated' && ref === client.ref)?.data
      .kid;
    // Its first key was imported without a proof.
    const certainty = active === undefined ? 'published' : 'proven';
    const kid = active ?? client.key.kid;
    expect(at(client).keys.find((key) => key.kid === kid)).toMatchObject({ certainty, possible: { until: null } });
  }
  expect(at(clients.released)).toMatchObject({ watched: false, keys: [{ kid: clients.released.key.kid }] });
  expect(
    at(clients.taken)
      .keys.map(({ managed }) => managed)
      .sort(),
  ).toEqual([false, true]);
  for (const client of [clients.overlap, clients.cutover, clients.lost, clients.compromised, clients.back]) {
    expect(at(client).keys).toHaveLength(1);
  }

  // While two were there: the old key with all of its times, and the numbers of the entries that show them.
  const seqOf = (type: string, kid: unknown, more = {}) =>
    entries.find(({ client, ...entry }) => {
      if (client !== clients.overlap.ref || entry.type !== type) return false;
      return entry.data.kid === kid && Object.entries(more).every(([name, value]) => entry.data[name] === value);
    })?.seq;
  const old = clients.overlap.key.kid;
  const switched = entries.find(({ seq }) => seq === seqOf('key.deactivated', old));
  const told = rekeyd('--at', switched?.time ?? '', '--client', clients.overlap.ref, '--json', dir);
  const [one] = JSON.parse(told.stdout).clients;
  const key: KeyAt = one.keys.find(({ kid }: KeyAt) => kid === old);
  const numbers = Object.fromEntries(key.entries.map(({ what, seq }) => [what, seq]));
  expect(numbers).toMatchObject({
    imported: seqOf('key.imported', old),
    deactivated: switched?.seq,
    refused: seqOf('key.proven', old, { expected: 'refused' }),
    destroyed: seqOf('key.destroyed', old),
  });
  expect(key).toMatchObject({ certainty: 'published', managed: true, possible: { until: { seq: numbers.refused } } });
  expect(one.keys).toHaveLength(2);
});

test('what an export does not cover is said, and the exit code is 1', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await fleet.start();
  const dir = join(fleet.dir, 'exported');
  await fleet.reached(client, await fleet.rotate(client));
  await exportAudit(fleet.resources.store, dir);
  const entries = await entriesOf(dir);
  const [first, last] = [entries[0]?.time ?? '', entries.at(-1)?.time ?? ''];
  const codes = (...args: string[]) => {
    const { code, stdout } = rekeyd('--json', ...args);
    return [code, ...JSON.parse(stdout).problems.map((problem: { code: string }) => problem.code)];
  };
  expect(codes('--at', '2020-01-01T00:00:00Z', dir)).toEqual([1, 'begins_later']);
  expect(codes('--at', '2099-01-01T00:00:00Z', dir)).toEqual([1, 'ends_earlier']);
  expect(codes('--at', last, '--client', '185019846023/pem-app/99', dir)).toEqual([1, 'client']);
  expect(codes('--at', last, '--client', client.ref, dir)).toEqual([0]);
  for (const [args, says] of [
    [['--at', '2026-11-27 03:00', dir], /and a zone/],
    [['--at', first, join(fleet.dir, 'none')], /cannot be read/],
    [['--at', first, fleet.dir], /holds no audit-/],
  ] as const) {
    const { code, stderr } = rekeyd(...args);
    expect([code, stderr]).toEqual([2, expect.stringMatching(says)]);
  }
  expect(rekeyd('--at', last, dir).stdout).toContain(`\n${client.ref}\n`);

  // Folders may overlap, and one of them may begin later.
  const [name = ''] = await readdir(dir);
  const lines = (await readFile(join(dir, name), 'utf8')).trimEnd().split('\n');
  const [whole, later] = [join(fleet.dir, 'whole'), join(fleet.dir, 'later')];
  for (const path of [whole, later]) await mkdir(path);
  await copyFile(join(dir, name), join(whole, name));
  // As a sealed line is: members sorted, and two more.
  const sealed = lines.slice(3).map((line) => {
    const members = Object.entries({ ...JSON.parse(line), prev: 'ab', hash: 'cd' });
    return JSON.stringify(Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1))));
  });
  await writeFile(join(later, 'audit-000000000004.jsonl'), `${sealed.join('\n')}\n`);
  expect(codes('--at', last, later, whole)).toEqual([0]);
  expect(codes('--at', last, later)).toEqual([1, 'older_clients']);
  await writeFile(
    join(later, 'audit-000000000004.jsonl'),
    `${lines.slice(3).join('\n').replace('"actor":"', '"actor":"x')}\n`,
  );
  expect(rekeyd('--at', last, later, whole)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('they are two logs'),
  });
  await appendFile(join(whole, name), '{"seq":');
  expect(rekeyd('--at', last, whole)).toMatchObject({ code: 1, stderr: expect.stringContaining('no audit entry') });
});
