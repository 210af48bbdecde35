/** Clients that are found, held and enrolled, as the commands treat and show them beside a service that runs. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { isChange } from '../emulator/log.ts';
import { until } from '../support/until.ts';
import { type Client, documentOf, openWorld, type Running, type World } from './fixture.ts';

let world: World;
let found: Client;
let held: Client;
let enrolled: Client;
let service: Running;
beforeAll(async () => {
  // What is abandoned waits until the PATCH that was not answered cannot arrive any more.
  world = await openWorld({}, { timeout: '1s' });
  found = world.addClient('pem-app');
  held = world.addClient('pem-app');
  const imported = await world.run(['keys', 'import', held.ref, '--file', await world.keyFile(held)]);
  expect(imported.code, imported.stderr).toBe(0);
  enrolled = await world.enrolledClient('kid-app');
  service = await world.start('--no-schedule', '--no-http');
});
afterAll(() => world.close());

const patchesOf = ({ id }: Client) => world.emulator.log.filter((call) => isChange(call) && call.client === id).length;

test('start says how many clients it leaves alone, and where to look', () => {
  const told =
    service
      .stderr()
      .split('\n')
      .find((line) => line.includes('left alone')) ?? '{}';
  expect(JSON.parse(told)).toMatchObject({
    clients: 2,
    found: 0,
    held: 1,
    msg: expect.stringMatching(/`rekeyd status`.*enrolled/),
  });
});

test('rotate of a whole fleet leaves those alone that are not enrolled, and lists them', async () => {
  const ended = await world.run(['rotate', '--all', '--wait', '--json']);
  expect(ended.code, ended.stderr).toBe(0);
  expect(documentOf(ended)).toMatchObject({
    rotations: [{ client: enrolled.ref, error: null }],
    errors: [],
    skipped: [
      { client: found.ref, enrolment: 'found' },
      { client: held.ref, enrolment: 'held' },
    ],
    taken_over: [],
  });
  expect(ended.stderr).toMatch(/these were left alone; --take-over rotates them too\./);
  for (const { ref } of [found, held]) expect(ended.stderr).toContain(ref);
  expect([found, held].map(patchesOf)).toEqual([0, 0]);
});

test('rotate of clients none of which is enrolled starts nothing, says so and ends with 1', async () => {
  const args = ['rotate', '--app', '185019846023/pem-app'];
  for (const ended of await Promise.all([world.run(args), world.run([...args, '--wait'])])) {
    expect(ended.code, ended.stderr).toBe(1);
    expect(ended.stderr).toContain('Nothing was started: none of the 2 clients is enrolled.\n');
  }
});

test('an OAuth client_id in place of the id is recognised', async () => {
  const written = `185019846023/pem-app/${held.clientId}`;
  const commands = [['status'], ['plan'], ['rotate'], ['enroll'], ['abandon']].map(([name = '']) => [name, written]);
  const importing = ['keys', 'import', written, '--file', await world.keyFile(held)];
  for (const ended of await Promise.all([...commands, importing].map((args) => world.run(args)))) {
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`${held.clientId} in ${written} is its OAuth client_id. Write ${held.ref}.\n`);
  }
});

test('status of a client that is not known says that, and nothing of the others', async () => {
  const unknown = `${held.ref}0`;
  const ended = await world.run(['status', unknown]);
  expect(ended).toEqual({
    code: 1,
    stdout: '',
    stderr: `${unknown} is not known. \`rekeyd plan ${unknown}\` asks the API for it.\n`,
  });
});

test('plan of a compromise of all skips what rotate skips, and knows no windows', async () => {
  const args = ['plan', '--app', '185019846023/pem-app', '--compromised'];
  const [listed, told, takenOver, named] = await Promise.all([
    world.run([...args, '--json']),
    world.run(args),
    world.run([...args, '--take-over', '--json']),
    world.run(['plan', found.ref, '--compromised', '--json']),
  ]);
  const skipped = (ended: typeof listed) =>
    Object.fromEntries(
      documentOf(ended).clients.map((one: { client: string; skipped: boolean; steps: readonly unknown[] }) => [
        one.client,
        one.skipped && one.steps.length === 0,
      ]),
    );
  expect(skipped(listed)).toEqual({ [found.ref]: true, [held.ref]: false });
  expect(skipped(takenOver)).toEqual({ [found.ref]: false, [held.ref]: false });
  expect(skipped(named)).toEqual({ [found.ref]: false });
  expect(told.stdout).toContain('skipped: found; its present key goes on signing in. Name the client, or --take-over');
  expect(told.stdout).toContain('  at once: windows do not count');
  expect(told.stdout).not.toContain('not due before');
});

test('plan says how many clients are enrolled, and nothing of the fleet where clients are named', async () => {
  const [all, named] = await Promise.all([world.run(['plan']), world.run(['plan', held.ref])]);
  expect(all.stderr).toContain('deployment 185019846023: 3 clients, 1 enrolled. Were all enrolled: ');
  expect(named.stderr).not.toContain('rate limit');
});

test('status counts the clients of each kind, and says what to do', async () => {
  const [listed, told] = await Promise.all([world.run(['status', '--json']), world.run(['status'])]);
  expect([listed.code, told.code], listed.stderr).toEqual([0, 0]);
  const { counts, clients } = documentOf(listed);
  expect(counts).toMatchObject({ found: 1, held: 1, healthy: 1, due: 0, failed: 0 });
  const shown = new Map(clients.map((client: { client: string }) => [client.client, client]));
  expect(shown.get(found.ref)).toMatchObject({ enrolment: 'found', state: 'found', active: null, next_due: null });
  expect(shown.get(held.ref)).toMatchObject({ enrolment: 'held', state: 'held', next_due: null, due: null });
  expect(shown.get(enrolled.ref)).toMatchObject({ enrolment: 'enrolled', next_due: expect.any(String) });
  expect(told.stdout).toMatch(/^3 clients: .*1 held, 1 found, 1 healthy$/m);
  expect(told.stdout).toMatch(
    /^Found clients: .*`rekeyd keys import CLIENT --file KEY`\), .*, then `rekeyd enroll CLIENT`\.$/m,
  );
  expect(told.stdout).toMatch(/^Held clients: .*`rekeyd enroll CLIENT`/m);
});

test('doctor counts them too', async () => {
  const { checks } = documentOf(await world.run(['doctor', '--json']));
  expect(checks).toContainEqual({
    name: 'clients',
    ok: true,
    detail: '3 known, 1 found and 1 held',
    fix: expect.stringMatching(/rekeyd keys import.*rekeyd enroll/),
  });
});

test.each([
  ['found', () => found, /is found: .*`rekeyd keys import \S+ --file KEY`.*`rekeyd enroll \S+`.*--take-over/],
  ['held', () => held, /is held: .*`rekeyd enroll \S+`.*--take-over/],
])('rotate of a %s client is refused with the ways on', async (_, client, ways) => {
  const [asked, waited, planned] = await Promise.all([
    world.run(['rotate', client().ref, '--json']),
    world.run(['rotate', client().ref, '--wait']),
    world.run(['plan', client().ref, '--json']),
  ]);
  expect([asked.code, waited.code, planned.code]).toEqual([1, 1, 0]);
  const { rotations, errors } = documentOf(asked);
  expect([rotations, errors]).toEqual([[], [{ client: client().ref, message: expect.stringMatching(ways) }]]);
  expect(waited.stdout).toMatch(/not started/);
  expect(documentOf(planned).clients).toMatchObject([{ steps: [], warnings: [expect.stringMatching(ways)] }]);
  expect(patchesOf(client())).toBe(0);
});

describe('enroll', () => {
  test('takes a held client, and refuses a found and an unknown one with the ways on', async () => {
    const unknown = `${held.ref}0`;
    const ended = await world.run(['enroll', held.ref, found.ref, unknown, '--json', '--reason', 'reads its folder']);
    expect(ended.code).toBe(1);
    expect(documentOf(ended)).toEqual({
      clients: [
        { client: held.ref, error: null, was: 'held' },
        { client: found.ref, error: expect.stringMatching(/keys import .*`rekeyd enroll .*--take-over/), was: 'found' },
        { client: unknown, error: expect.stringContaining(`rekeyd plan ${unknown}`), was: null },
      ],
    });
    const tail = documentOf(await world.run(['audit', 'tail', '-n', '100', '--json']));
    const told = tail.filter(({ type }: { type: string }) => type === 'client.enrolled');
    expect(told.at(-1)).toMatchObject({ client: held.ref, reason: 'reads its folder', data: { from: 'held' } });
    const rotated = await world.run(['rotate', held.ref, '--wait']);
    expect(rotated.code, rotated.stderr).toBe(0);
    expect(patchesOf(held)).toBe(1);
  });
});

test('rotate --take-over rotates a found client, and says what its application must do', async () => {
  const planned = documentOf(await world.run(['plan', found.ref, '--take-over', '--json']));
  expect(planned.clients[0]).toMatchObject({ enrolment: 'found', strategy: 'cutover' });
  const ended = await world.run(['rotate', found.ref, '--take-over', '--wait', '--json']);
  expect(ended.code, ended.stderr).toBe(0);
  expect(documentOf(ended)).toMatchObject({
    rotations: [{ client: found.ref, error: null }],
    taken_over: [{ client: found.ref, enrolment: 'found' }],
  });
  expect(ended.stderr).toContain('their applications must take the new key from their key folders at once');
  const meta = await readFile(join(world.dir, 'data', 'keys', found.ref, 'meta.json'), 'utf8');
  expect(JSON.parse(meta).current).toBe(documentOf(ended).rotations[0].kid);
});

describe('a compromise', () => {
  test('of everything leaves found clients alone, and ends with 1 because they still sign in', async () => {
    const left = world.addClient('pem-app');
    const kept = world.addClient('pem-app');
    await world.run(['keys', 'import', kept.ref, '--file', await world.keyFile(kept)]);
    const ended = await world.run([
      'rotate',
      '--app',
      '185019846023/pem-app',
      '--compromised',
      '--yes',
      '--wait',
      '--json',
    ]);
    expect(ended.code, ended.stderr).toBe(1);
    const { rotations, skipped, taken_over } = documentOf(ended);
    expect(skipped).toEqual([{ client: left.ref, enrolment: 'found' }]);
    expect(taken_over).toEqual([{ client: kept.ref, enrolment: 'held' }]);
    expect(rotations.map(({ client }: { client: string }) => client)).not.toContain(left.ref);
    expect(ended.stderr).toContain('STILL SIGN IN with their present keys');
    expect([left, kept].map(patchesOf)).toEqual([0, 1]);
  });

  test('of a found client that is named goes through, and says what its application must do', async () => {
    const client = world.addClient('pem-app');
    const ended = await world.run(['rotate', client.ref, '--compromised', '--wait', 'finished']);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/must take the new key from their key folders at once.*\n {2}\S+ \(found\)/);
    expect(patchesOf(client)).toBe(1);
  });
});

test('a compromise that was given up is told of in capitals until the key is replaced', async () => {
  const client = await world.enrolledClient('pem-app');
  const match = { ...CHANGE, client: client.id };
  world.emulator.faults.add({ kind: 'status', status: 422, match, times: Number.POSITIVE_INFINITY });
  const failed = await world.run(['rotate', client.ref, '--compromised', '--wait']);
  expect(failed.code).toBe(1);
  const [told, shown, doctor] = await Promise.all([
    world.run(['status', client.ref]),
    world.run(['status', client.ref, '--json']),
    world.run(['doctor']),
  ]);
  expect(told.stdout).toContain('COMPROMISED: the key in use was reported and STILL SIGNS IN; FAILED: ');
  expect(told.stdout).toContain('1 client: 1 failed');
  expect(documentOf(shown).clients).toMatchObject([{ compromised: true, active: { kid: client.key.kid } }]);
  expect(doctor.stdout).toMatch(
    new RegExp(`^WRONG {2}COMPROMISED clients: STILL SIGNING IN .*${client.ref}\n.*rotate CLIENT --compromised`, 'm'),
  );
  world.emulator.faults.clear();
  const done = await world.run(['rotate', client.ref, '--compromised', '--wait', 'finished']);
  expect(done.code, done.stderr).toBe(0);
  const after = documentOf(await world.run(['status', client.ref, '--json']));
  expect(after.clients).toMatchObject([{ compromised: false, state: 'healthy' }]);
});

describe('abandon', () => {
  test('of a compromise that still goes on is refused, and its client is named once', async () => {
    const client = await world.enrolledClient('pem-app');
    const match = { ...CHANGE, client: client.id };
    world.emulator.faults.add({ kind: 'status', status: 503, match, times: Number.POSITIVE_INFINITY });
    const asked = await world.run(['rotate', client.ref, '--compromised']);
    expect(asked.code, asked.stderr).toBe(0);
    await until('it is tried', (saw) => saw(patchesOf(client)) > 0);
    const ended = await world.run(['abandon', client.ref]);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(
      new RegExp(`^${client.ref}: its key was reported as compromised, so this rotation goes`),
    );
    world.emulator.faults.clear();
    await until('it is replaced', async () => {
      const [shown] = documentOf(await world.run(['status', client.ref, '--json'])).clients;
      return shown.rotation === null && shown.active.kid !== client.key.kid;
    });
  });

  test('ends a rotation that cannot go on, at the key that the server takes', async () => {
    const client = await world.enrolledClient('pem-app');
    const { kid } = client.key;
    const match = { ...CHANGE, client: client.id };
    world.emulator.faults.add({ kind: 'status', status: 503, match, times: Number.POSITIVE_INFINITY });
    const asked = await world.run(['rotate', client.ref, '--json']);
    expect(asked.code, asked.stderr).toBe(0);
    await until('it is tried', (saw) => saw(patchesOf(client)) > 0);
    const ended = await world.run(['abandon', client.ref, '--reason', 'the API is gone']);
    expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toContain(`The rotation of ${client.ref} ends`);
    const rotation = async () => documentOf(await world.run(['status', client.ref, '--json'])).clients[0];
    // No PATCH that is still on its way may be carried out: the rotation would end at its key.
    await until('it has ended', async (saw) => saw(await rotation()).rotation === null);
    world.emulator.faults.clear();
    expect(await rotation()).toMatchObject({ active: { kid }, state: 'failed' });
    const tail = documentOf(await world.run(['audit', 'tail', '-n', '200', '--json']));
    const told = tail.filter(({ type }: { type: string }) => type === 'rotation.abandoned');
    expect(told).toMatchObject([{ client: client.ref, reason: 'the API is gone' }]);
  });

  test('without a rotation under way ends with 1, and says so', async () => {
    const ended = await world.run(['abandon', enrolled.ref, '--json']);
    expect(ended.code).toBe(1);
    const error = expect.stringMatching(/No rotation of \S+ is under way/);
    expect(documentOf(ended)).toEqual({ clients: [{ client: enrolled.ref, error }] });
  });
});
