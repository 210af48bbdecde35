/** The commands beside a service that runs. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { isChange } from '../emulator/log.ts';
import { until } from '../support/until.ts';
import { type Client, documentOf, openWorld, type Running, type World } from './fixture.ts';

let world: World;
let service: Running;
let pem: Client;
let kid: Client;
beforeAll(async () => {
  world = await openWorld();
  pem = await world.enrolledClient('pem-app');
  kid = await world.enrolledClient('kid-app');
  service = await world.start();
});
afterAll(() => world.close());

describe('rotate', () => {
  test('answers with the ids of what was started', async () => {
    const [asked, listed] = await Promise.all([
      world.run(['rotate', pem.ref]),
      world.run(['rotate', '--app', '185019846023/kid-app', '--json']),
    ]);
    expect(asked, asked.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(asked.stdout).toMatch(new RegExp(`^r[\\w-]{21}  ${pem.ref}\n$`));
    expect(documentOf(listed)).toEqual({
      rotations: [{ id: expect.any(String), client: kid.ref }],
      errors: [],
      skipped: [],
      taken_over: [],
    });
  });

  test('--wait ends with a summary and a table, and shows each phase on stderr when it is --verbose', async () => {
    const ended = await world.run(['rotate', '--wait', pem.ref, '--reason', 'a new laptop']);
    expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
    const [summary, heading, row, ...others] = ended.stdout.trimEnd().split('\n');
    expect(summary).toMatch(/^1 rotation in \d+ s: 1 (active|finished)$/);
    expect(heading).toMatch(/^CLIENT +ROTATION +STRATEGY +OUTCOME +ERROR$/);
    expect(row).toMatch(new RegExp(`^${pem.ref}  r\\S+ +cutover +(active|finished)$`));
    expect(others).toEqual([]);
    const told = await world.run(['rotate', '--wait', pem.ref, '--verbose']);
    expect(told.code, told.stderr).toBe(0);
    expect(told.stderr).toContain(`${pem.ref}  active\n`);
  });

  test('--wait finished waits until the old keys are gone, and tells of clients that nobody knows', async () => {
    const unknown = `${pem.ref}0`;
    const ended = await world.run(['rotate', pem.ref, kid.ref, unknown, '--wait', 'finished', '--json']);
    expect(ended.code, ended.stderr).toBe(1);
    const { rotations, errors } = documentOf(ended);
    expect(errors).toEqual([{ client: unknown, message: expect.stringContaining('lists no client') }]);
    const done = { id: expect.any(String), state: 'finished', kid: expect.any(String), error: null, offered: false };
    expect(rotations).toEqual([
      { ...done, client: kid.ref, strategy: 'overlap', replaces: expect.any(String) },
      { ...done, client: pem.ref, strategy: 'cutover', replaces: expect.any(String) },
    ]);
    const status = documentOf(await world.run(['status', '--json']));
    expect(status.clients.map(({ active }: { active: { kid: string } }) => active.kid)).toEqual(
      rotations.map((rotation: { kid: string }) => rotation.kid),
    );
  });

  test('ends with 1 when the server refuses, and says why', async () => {
    const refused = await world.enrolledClient('pem-app');
    world.emulator.faults.add({
      kind: 'status',
      status: 422,
      message: 'not on a Monday',
      match: { ...CHANGE, client: refused.id },
    });
    const ended = await world.run(['rotate', refused.ref, '--wait', '--json']);
    expect(ended.code, ended.stderr).toBe(1);
    const error = expect.stringContaining('not on a Monday');
    expect(documentOf(ended).rotations).toMatchObject([{ client: refused.ref, state: 'failed', error }]);
    expect(ended.stderr).toContain('not on a Monday');
    const shown = await world.run(['status', refused.ref]);
    expect(shown.stdout).toMatch(/^1 client: 1 failed\n.*\n.*FAILED: .*not on a Monday/m);
    const again = await world.run(['rotate', refused.ref, '--wait']);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr, 'what another rotation failed with').not.toContain('not on a Monday');
  });

  test('tells once why a request waits while the API is away, log and command alike, and ends well when it is back', async () => {
    const late = await world.enrolledClient('pem-app');
    const match = { method: 'GET', path: /(apps|clients)$/ };
    const away = {
      kind: 'status',
      status: 503,
      message: 'under repair',
      match,
      times: Number.POSITIVE_INFINITY,
    } as const;
    world.emulator.faults.add(away);
    const waiting = world.spawn(['rotate', late.ref, '--json']);
    const told = () => waiting.stderr().match(/^Not yet: .*under repair.* It is tried again …$/gm) ?? [];
    const logged = () => service.stderr().match(/.*under repair.*a request waits: it is tried again.*/g) ?? [];
    const before = logged().length;
    const asked = () => world.emulator.log.filter(({ status }) => status === 503).length;
    await until('it was tried again and again', (saw) => saw(asked()) > 3);
    await until('the command says so', (saw) => saw(told().length) > 0);
    expect([told().length, logged().length - before]).toEqual([1, 1]);
    world.emulator.faults.clear();
    const ended = await waiting.ended;
    expect(ended.code, ended.stderr).toBe(0);
    expect(documentOf(ended)).toEqual({
      rotations: [{ id: expect.any(String), client: late.ref }],
      errors: [],
      skipped: [],
      taken_over: [],
    });
    expect(service.stderr()).toContain('a request that waited is answered');
  });

  test('--compromised names one kid, or the key in use', async () => {
    const [wrong, right] = await Promise.all([
      world.run(['rotate', kid.ref, '--compromised', 'no-such-kid', '--json']),
      world.run(['rotate', '--compromised', pem.ref, '--wait', 'finished', '--json']),
    ]);
    expect(wrong.code).toBe(1);
    expect(documentOf(wrong).errors).toEqual([
      { client: kid.ref, message: expect.stringContaining('has no key no-such-kid') },
    ]);
    expect(right.code, right.stderr).toBe(0);
    const exposure = {
      kid: expect.any(String),
      seconds: expect.any(Number),
      tokens_until: expect.stringMatching(/Z$/),
    };
    const done = { client: pem.ref, state: 'finished', strategy: 'cutover', exposure };
    expect(documentOf(right).rotations).toMatchObject([done]);
    const [named, shown] = await Promise.all([
      world.run(['status', pem.ref, '--json']),
      world.run(['status', pem.ref]),
    ]);
    expect(documentOf(named).clients[0].exposures).toEqual([documentOf(right).rotations[0].exposure]);
    expect(shown.stdout).toMatch(
      /was reported as COMPROMISED at \S+Z: refused \S+ s later\. Access tokens .* until \S+Z\./,
    );
  });

  test('what leaked may be named in place of clients, and a whole fleet needs --yes', async () => {
    const leak = ['--kek', 'kek-1', '--compromised'];
    const [planned, counted, refused, wrong] = await Promise.all([
      world.run(['plan', ...leak]),
      world.run(['plan', ...leak, '--json']),
      world.run(['rotate', ...leak]),
      world.run(['rotate', '--kek', 'kek-1']),
    ]);
    expect(planned.stdout, planned.stderr).toMatch(
      /It is about (\d+) of \1 clients \(100 %\): more than 20 % \(breaker\), so it needs --yes\n/,
    );
    const { compromise, clients } = documentOf(counted).summary;
    expect(compromise).toMatchObject({ clients, share: 1, breaker: 0.2, people: 1, needs_confirmation: true });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/need a confirmation .*--yes/) });
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('--kek goes with --compromised') });
    const { active } = documentOf(await world.run(['status', pem.ref, '--json'])).clients[0];
    const done = await world.run(['rotate', '--compromised', '--kid', active.kid, '--wait', 'finished']);
    expect(done.code, done.stderr).toBe(0);
    expect(done.stdout).toMatch(/^Proven refused: the old key, \S+ s after the request at the latest\. Access tokens/m);
    expect((await world.run(['approve', '1'])).stderr).toMatch(/No request 1 waits/);
  });
});

/** What was PATCHed to this client. */
function patchBodies(ref: string): unknown[] {
  const calls = world.emulator.log.filter((call) => isChange(call) && ref.endsWith(`/${call.client}`));
  return calls.map(({ body }) => body);
}

/** The body as it is planned before the key with that kid is made. */
function withPlaceholder(body: unknown, kid: string): unknown {
  const blank = { kid: '<new key>', x: '<new key>', y: '<new key>', public_key_pem: '<new key>' };
  return JSON.parse(JSON.stringify(body), (_, value) => (value?.kid === kid ? { ...value, ...blank } : value));
}

test('the plan says just what is sent', async () => {
  const refs = [(await world.enrolledClient('pem-app')).ref, (await world.enrolledClient('kid-app')).ref];
  const planned = documentOf(await world.run(['plan', ...refs, '--json']));
  const ended = await world.run(['rotate', ...refs, '--wait', 'finished', '--json']);
  expect(ended.code, ended.stderr).toBe(0);
  for (const { client, kid: fresh } of documentOf(ended).rotations) {
    const { steps } = planned.clients.find((plan: { client: string }) => plan.client === client);
    const sent = patchBodies(client).map((body) => withPlaceholder(body, fresh));
    expect(sent.length).toBeGreaterThan(0);
    expect(sent).toEqual(steps.flatMap(({ body = [] }) => body));
  }
});

test('the plan of a single PEM says why a policy with an overlap gets a cutover', async () => {
  const { pem: text, alg } = pem.key;
  const members = { deployment: '185019846023', app: 'kid-app', alg, public_key_pem: text };
  const { id } = world.emulator.addClient(members);
  const planned = await world.run(['plan', `185019846023/kid-app/${id}`, '--take-over']);
  expect(planned.code, planned.stderr).toBe(0);
  expect(planned.stdout).toContain(
    '  ! strategy cutover: a single PEM leaves no room for a second key. Set format: jwks for an overlap.\n',
  );
});

test('the plan of a client that is gone says so once', async () => {
  const client = await world.enrolledClient('pem-app');
  const path = `/deployments/185019846023/oauth/apps/pem-app/clients/${client.id}`;
  const headers = { authorization: 'Bearer test-api-key' };
  const gone = await fetch(new URL(path, world.emulator.url), { method: 'DELETE', headers });
  expect(gone.ok, await gone.text()).toBe(true);
  const planned = await world.run(['plan', client.ref]);
  expect(planned.stdout.match(/not active|fail:/g), planned.stdout).toHaveLength(1);
});

test('an imported key is the one that the next rotation replaces', async () => {
  const client = await world.enrolledClient('kid-app');
  const rotated = await world.run(['rotate', client.ref, '--wait', 'finished', '--json']);
  expect(rotated.code, rotated.stderr).toBe(0);
  expect(documentOf(rotated).rotations).toMatchObject([{ replaces: client.key.kid, state: 'finished' }]);
  const shown = await world.run(['status', client.ref]);
  expect(shown.stdout).toMatch(new RegExp(`^${client.key.kid} +- +destroyed `, 'm'));
  expect(shown.stdout).toMatch(/^1 client: 1 healthy$/m);
});

describe('SIGTERM', () => {
  /** A service that is in the middle of a PATCH which is not answered for minutes. */
  async function inPatch(grace: string): Promise<{ busy: Running; client: Client }> {
    const deployments = Object(world.config.deployments).map((one: object) => ({ ...one, timeout: '5m' }));
    await world.writeConfig({ ...world.config, shutdown_grace: grace, deployments });
    const client = await world.enrolledClient('pem-app');
    world.emulator.faults.add({ kind: 'stall', when: 'before', match: { ...CHANGE, client: client.id } });
    const busy = await world.start('--no-schedule', '--no-http');
    const asked = await world.run(['rotate', client.ref]);
    expect(asked.code, asked.stderr).toBe(0);
    await until('the PATCH is under way', (saw) => saw(patchBodies(client.ref).length) > 0);
    return { busy, client };
  }

  test('ends an idle service with 0', async () => {
    service.kill('SIGTERM');
    const ended = await service.ended;
    expect(ended, ended.stderr).toMatchObject({ code: 0, stdout: '' });
    expect(ended.stderr.trimEnd().split('\n').at(-1)).toContain('"msg":"stopped"');
    expect(ended.stderr).not.toContain('jobs under way are told to stop');
  });

  test('ends a service that rotates with 0 after its grace, and the rotation stays where it was', async () => {
    const { busy, client } = await inPatch('1s');
    busy.kill('SIGTERM');
    // The API's own deadline is minutes away: only an abort can end this.
    const ended = await busy.ended;
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain('jobs under way are told to stop');

    const left = documentOf(await world.run(['status', client.ref, '--json']));
    expect(left.clients).toMatchObject([{ client: client.ref, rotation: { phase: 'delivered', strategy: 'cutover' } }]);
    const planned = documentOf(await world.run(['plan', client.ref, '--json']));
    expect(planned.clients).toMatchObject([{ joins: left.clients[0].rotation.id }]);
    const ending = await world.run(['abandon', client.ref]);
    expect(ending.code, ending.stderr).toBe(0);
    expect(ending.stdout).toContain(`The end of the rotation of ${client.ref} is queued, but no worker is connected.`);
    const [told] = documentOf(await world.run(['audit', 'tail', '-n', '1', '--json']));
    expect(told).toMatchObject({ type: 'rotation.abandoned', reason: 'asked for on the command line' });
  });

  test('sent twice ends it at once with 1', async () => {
    const { busy } = await inPatch('1h');
    busy.kill('SIGTERM');
    await until('the service begins to stop', (saw) => saw(busy.stderr()).includes('"msg":"stopping"'));
    busy.kill('SIGTERM');
    expect((await busy.ended).code).toBe(1);
  });
});

test('a service that cannot start says why and ends', async () => {
  const file = await world.writeConfig(
    { ...world.config, http: { listen: new URL(world.emulator.url).host } },
    'taken.yaml',
  );
  const ended = await world.run(['start', '--config', file]);
  expect(ended.code).toBe(2);
  expect(ended.stderr).toMatch(
    /rekeyd: http\.listen 127\S+: another process listens there.*--no-http\. \(listen EADDRINUSE/,
  );
});
