/** What the commands do beside no service at all, over an embedded store that each of them starts and ends. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectNothingOf } from '../support/hidden.ts';
import { until } from '../support/until.ts';
import { type Client, documentOf, openWorld, type World } from './fixture.ts';

let world: World;
let pem: Client;
let kid: Client;
beforeAll(async () => {
  world = await openWorld();
  pem = world.addClient('pem-app');
  kid = world.addClient('kid-app');
});
afterAll(() => world.close());

test('plan --take-over shows every PATCH body of clients that nobody knows yet, and writes nothing', async () => {
  const planned = await world.run(['plan', '--take-over', '--json']);
  expect(planned.code, planned.stderr).toBe(0);
  const { clients, errors } = documentOf(planned);
  expect(errors).toEqual([]);
  const [first, second] = [pem.ref, kid.ref].map((ref) =>
    clients.find(({ client }: { client: string }) => client === ref),
  );
  expect(first).toMatchObject({
    policy: 'pem-app',
    known: false,
    enrolment: 'found',
    joins: null,
    strategy: 'cutover',
    warnings: [],
  });
  const patched = {
    step: 'patch',
    purpose: 'cut_over',
    body: { jwks: { keys: [newKey, withKid(pem)] }, token_endpoint_auth_signing_alg: 'ES256' },
  };
  expect(first.steps).toMatchObject([
    { step: 'generate', alg: 'ES256' },
    { step: 'deliver', current: null, next: '<new key>' },
    patched,
    { step: 'prove', kid: '<new key>', expect: 'accepted', how: 'sign_in' },
    { step: 'deliver', current: '<new key>' },
    { step: 'activate', kid: '<new key>' },
  ]);
  const purposes = second.steps.flatMap((step: { purpose?: string }) => step.purpose ?? []);
  expect([second.strategy, ...purposes]).toEqual(['overlap', 'publish', 'withdraw']);
  expect(await written()).toEqual({ entries: [], clients: [] });
});

test('plan says that schedules leave clients alone whose key is not ours, and what to do about it', async () => {
  const [planned, told] = await Promise.all([world.run(['plan', '--json']), world.run(['plan'])]);
  expect([planned.code, told.code], planned.stderr).toEqual([0, 0]);
  for (const client of documentOf(planned).clients) {
    expect(client).toMatchObject({ enrolment: 'found', due: null, joins: null, strategy: null, steps: [] });
    expect(client.warnings).toEqual([expect.stringMatching(/keys import .*rekeyd enroll .*--take-over/)]);
  }
  expect(told.stdout.match(/left alone by schedules/g)).toHaveLength(2);
  expect(await written()).toEqual({ entries: [], clients: [] });
});

test('rotate finds out by itself that nobody knows a client, and leaves no request behind that is about nobody', async () => {
  const [unknown, elsewhere] = [`${pem.ref}0`, '185019846023/nowhere/1'];
  const [nobody, some, away] = await Promise.all([
    world.run(['rotate', unknown, elsewhere]),
    world.run(['rotate', pem.ref, unknown, '--json']),
    world.run(['rotate', unknown, '--config', await unreachable()]),
  ]);
  expect(nobody.code, nobody.stderr).toBe(1);
  expect(nobody.stderr).toMatch(/^rekeyd: Nothing was asked for: .*has no policy for .*nowhere.* lists no client/);
  expect(some.code, some.stderr).toBe(1);
  const message = expect.stringContaining('lists no client');
  expect(documentOf(some)).toMatchObject({
    request: expect.stringMatching(/^q/),
    errors: [{ client: unknown, message }],
  });
  // Whether there is such a client cannot be known: a worker will see.
  expect([away.code, away.stderr]).toEqual([0, expect.stringContaining('is queued, but no worker is connected')]);
});

/** A config whose API is away, with a store of its own. */
function unreachable(): Promise<string> {
  const [deployment] = Object(world.config.deployments);
  const deployments = [{ ...deployment, api_url: 'http://127.0.0.1:1' }];
  const elsewhere = { ...world.config, data_dir: join(world.dir, 'elsewhere'), deployments };
  return world.writeConfig(elsewhere, 'unreachable.yaml');
}

test('plan shows what the schedule does with such clients under adopt: take_over', async () => {
  const policies = { ...Object(world.config.policies), 'pem-app': { adopt: 'take_over' } };
  const file = await world.writeConfig({ ...world.config, policies }, 'take-over.yaml');
  const { clients } = documentOf(await world.run(['plan', '--json', '--config', file]));
  const steps = Object.fromEntries(
    clients.map(({ client, steps }: { client: string; steps: readonly unknown[] }) => [client, steps.length > 0]),
  );
  expect(steps).toEqual({ [pem.ref]: true, [kid.ref]: false });
});

/** What stands in the store, and whether anything was sent. */
async function written(): Promise<{ entries: unknown; clients: unknown }> {
  const [tail, shown] = await Promise.all([world.run(['audit', 'tail', '--json']), world.run(['status', '--json'])]);
  expect(world.patches()).toBe(0);
  return { entries: documentOf(tail), clients: documentOf(shown).clients };
}

const newKey = {
  kty: 'EC',
  crv: 'P-256',
  x: '<new key>',
  y: '<new key>',
  kid: '<new key>',
  use: 'sig',
  alg: 'ES256',
  public_key_pem: '<new key>',
};
const withKid = ({ key }: Client) => ({ kid: key.kid });

test('plan of a named client is readable, and says so when it would fail or nobody knows the client', async () => {
  const file = await world.writeConfig(
    {
      ...world.config,
      policies: { 'pem-app': {}, 'kid-app': { strategy: 'overlap', alg: 'RS256', windows: ['Sun 03:00-03:01'] } },
    },
    'other-alg.yaml',
  );
  const [planned, unknown] = await Promise.all([
    world.run(['plan', kid.ref, '--take-over', '--config', file]),
    world.run(['plan', `${pem.ref}0`, '--json']),
  ]);
  expect(planned.code).toBe(0);
  expect(planned.stdout).toMatch(/! It would fail at once: strategy overlap cannot change the alg from ES256 to RS256/);
  expect(planned.stdout).toMatch(/the next window opens, or the freeze ends, at/);
  expect(unknown.code).toBe(1);
  expect(documentOf(unknown)).toMatchObject({ clients: [], errors: [{ client: `${pem.ref}0` }] });
});

describe('a private key', () => {
  test('is imported, delivered and shown; importing it again delivers it again; another one is refused', async () => {
    const [file, otherFile] = [await world.keyFile(pem), await world.keyFile(kid)];
    const done = await world.run(['keys', 'import', pem.ref, '--file', file]);
    expect(done.code, done.stderr).toBe(0);
    expect(done.stderr).toMatch(/^The client is held: schedules leave it alone.*`rekeyd enroll /);
    expect(done.stdout).toContain(`Key ${pem.key.kid} (ES256,`);
    const current = join(world.dir, 'data', 'keys', pem.ref, 'current.jwk.json');
    expect(JSON.parse(await readFile(current, 'utf8'))).toMatchObject({ kid: pem.key.kid, x: pem.key.jwk.x });

    const [again, other, shown] = await Promise.all([
      world.run(['keys', 'import', pem.ref, '--file', file, '--json']),
      world.run(['keys', 'import', pem.ref, '--file', otherFile]),
      world.run(['status', pem.ref, '--json']),
    ]);
    expect(again.code, again.stderr).toBe(0);
    expect(documentOf(again)).toMatchObject({ client: pem.ref, kid: pem.key.kid, alg: 'ES256', enrolment: 'held' });
    expect(other).toMatchObject({ code: 1, stdout: '' });
    expect(other.stderr).toContain('already has a managed key');
    const [client] = documentOf(shown).clients;
    expect(client).toMatchObject({
      client: pem.ref,
      client_id: pem.clientId,
      policy: 'pem-app',
      enrolment: 'held',
      state: 'held',
      active: { kid: pem.key.kid, alg: 'ES256', state: 'active', age_seconds: expect.any(Number) },
      keys: [{ kid: pem.key.kid, state: 'active', created_at: expect.any(String) }],
      next_due: null,
      due: null,
      rotation: null,
      retiring: [],
      last_error: null,
      halted: null,
    });
    const everything = [done, again, other, shown].map(({ stdout, stderr }) => stdout + stderr).join('');
    for (const { key } of [pem, kid]) expectNothingOf(key.privateKey, everything);
  });

  test('that signers could not be given says how to go on', async () => {
    await writeFile(join(world.dir, 'in-the-way'), '');
    const sinks = [{ kind: 'directory', path: './in-the-way' }];
    const file = await world.writeConfig({ ...world.config, sinks }, 'bad-sink.yaml');
    const args = ['keys', 'import', kid.ref, '--file', await world.keyFile(kid)];
    const failed = await world.run([...args, '--config', file]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/The key is in the store.* run the same command again/s);
    const mended = await world.run(args);
    expect(mended.code, mended.stderr).toBe(0);
    expect(await readdir(join(world.dir, 'data', 'keys', kid.ref))).toContain('current.pem');
  });

  test('goes under a new KEK with rewrap; without the KEK it is under, it is listed', async () => {
    const keks = { old: { id: 'kek-1', key: 'env:KEK' }, young: { id: 'kek-2', key: 'env:KEK2' } };
    const both = await world.writeConfig(
      { ...world.config, encryption: { keks: [keks.young, keks.old] } },
      'both.yaml',
    );
    const only = await world.writeConfig({ ...world.config, encryption: { keks: [keks.young] } }, 'only.yaml');
    expect((await world.run(['token', 'create', 'siem', '--scope', 'read'])).code).toBe(0);
    const early = await world.run(['keys', 'rewrap', '--json', '--config', only]);
    expect(early.code).toBe(1);
    expect(documentOf(early)).toMatchObject({
      rewrapped: 0,
      failed: [
        { client: kid.ref, code: 'kek_missing' },
        { client: pem.ref, code: 'kek_missing' },
      ],
    });

    const done = await world.run(['keys', 'rewrap', '--json', '--config', both]);
    expect(done.code, done.stderr).toBe(0);
    expect(documentOf(done)).toEqual({ rewrapped: 2, unchanged: 0, gone: 0, failed: [] });
    // The list of tokens is signed with it, too.
    const tokens = await world.run(['token', 'list', '--config', only]);
    expect(tokens, tokens.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/^siem /) });
    const late = await world.run(['keys', 'rewrap', '--config', only]);
    expect(late.code, late.stderr).toBe(0);
    expect(late.stdout).toBe('2 keys checked: all use KEK kek-2 already.\n');
    const wrong = await world.run(['keys', 'rewrap', '--json', '--config', only], {
      KEK2: Buffer.alloc(32, 9).toString('base64url'),
    });
    expect(wrong.code, 'the right id, another value').toBe(1);
    expect(documentOf(wrong)).toMatchObject({
      unchanged: 0,
      failed: [
        { client: kid.ref, code: 'key_tampered' },
        { client: pem.ref, code: 'key_tampered' },
      ],
    });
  });
});

test('the audit log is shown and exported, each entry once', async () => {
  const [tail, lines, first] = await Promise.all([
    world.run(['audit', 'tail', '-n', '2', '--json']),
    world.run(['audit', 'tail', '-n', '100']),
    world.run(['audit', 'export', 'log', '--json']),
  ]);
  const total = lines.stdout.trimEnd().split('\n').length;
  expect(documentOf(tail)).toHaveLength(2);
  expect(Object.keys(documentOf(tail)[1])).toEqual([
    'seq',
    'time',
    'type',
    'client',
    'rotation',
    'actor',
    'claimed_by',
    'reason',
    'data',
  ]);
  expect(lines.stdout).toMatch(/^1 {2}\S+Z {2}client\.found .* cli:\S+ \(os:\S+\)/);
  expect(first.code, first.stderr).toBe(0);
  expect(documentOf(first)).toMatchObject({
    entries: total,
    last: total,
    files: [join(world.dir, 'log', 'audit-000000000001.jsonl')],
  });

  const third = world.addClient('pem-app', 'RS256');
  await world.run(['keys', 'import', third.ref, '--file', await world.keyFile(third), '--enroll']);
  const second = await world.run(['audit', 'export', 'log']);
  const types = ['client.found', 'key.imported', 'client.held', 'client.enrolled', 'key.delivered'];
  expect(second.stdout).toMatch(new RegExp(`^${types.length} entries up to number`));
  const names = await readdir(join(world.dir, 'log'));
  expect(names.sort()).toEqual(['audit-000000000001.jsonl', `audit-${String(total + 1).padStart(12, '0')}.jsonl`]);
  const texts = await Promise.all(names.map((name) => readFile(join(world.dir, 'log', name), 'utf8')));
  const entries = texts.flatMap((text) => text.trimEnd().split('\n')).map((line) => JSON.parse(line));
  expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, index) => index + 1));
  expect(entries.slice(total).map(({ type }) => type)).toEqual(types);
});

test('an export to a folder that cannot be made fails', async () => {
  const ended = await world.run(['audit', 'export', '/proc/rekeyd']);
  expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('/proc/rekeyd') });
});

test('a held client is enrolled once', async () => {
  const [first, again] = [await world.run(['enroll', pem.ref]), await world.run(['enroll', pem.ref, '--json'])];
  expect(first, first.stderr).toMatchObject({ code: 0, stdout: `${pem.ref} is enrolled.\n`, stderr: '' });
  expect(documentOf(again)).toEqual({ clients: [{ client: pem.ref, error: null, was: 'enrolled' }] });
  const args = ['keys', 'import', pem.ref, '--file', await world.keyFile(pem), '--config', 'both.yaml'];
  const [listed, told] = [await world.run([...args, '--json']), await world.run(args)];
  expect(documentOf(listed)).toMatchObject({ enrolment: 'enrolled' });
  expect(told, 'nothing of held clients').toMatchObject({ code: 0, stderr: '' });
});

test('plan of a host that was taken says whose reports cannot be read, and what went wrong', async () => {
  const reports = join(world.dir, 'data', 'keys', pem.ref, 'signers');
  await rm(reports, { recursive: true });
  await writeFile(reports, 'no folder');
  const planned = await world.run(['plan', '--compromised', '--host', 'web-1', '--json']);
  await rm(reports);
  expect(planned.code).toBe(1);
  const message = expect.stringMatching(
    `^It is not known whether ${pem.ref} signs on web-1: .*signers is not a folder\\. Mend that`,
  );
  expect(documentOf(planned)).toEqual({ error: { code: 'sink_failed', message } });
  expect(planned.stderr.trim().split('\n'), 'no stack trace').toHaveLength(1);
});

test('rotate without a worker leaves its request behind, and the next worker finds it', async () => {
  const left = await world.run(['rotate', pem.ref, '--json']);
  expect(left.code, left.stderr).toBe(0);
  const { request, ...nothing } = documentOf(left);
  expect(nothing).toEqual({ rotations: [], errors: [] });
  expect(left.stderr).toContain(
    `Request ${request} is queued, but no worker is connected. It is worked on when one starts`,
  );
  // Its key is under the KEK of the test before.
  const service = await world.start('--config', 'both.yaml');
  await until('it is worked on', (saw) => saw(world.patches()) > 0);
  service.kill('SIGTERM');
  expect((await service.ended).code).toBe(0);
});

test('rotate --wait without a worker says what to run, and leaves the request behind when it is interrupted', async () => {
  const waiting = world.spawn(['rotate', pem.ref, '--wait', '--json']);
  await until('the hint', (saw) =>
    saw(waiting.stderr()).includes('no worker is connected. Start one with `rekeyd start`'),
  );
  waiting.kill('SIGINT');
  const ended = await waiting.ended;
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain('stays queued');
  expect(documentOf(ended)).toMatchObject({ request: expect.any(String), rotations: [] });
});
