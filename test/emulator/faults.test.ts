import { describe, expect, test } from 'vitest';
import type { Match } from './fault-rules.ts';
import { setUpRenaming } from './renaming.ts';
import { API_KEY, DEPLOYMENT, manage } from './testing.ts';

const setUp = setUpRenaming();
const { newClient, rename, storedName } = setUp;

describe('no answer', () => {
  test.each([
    ['before', 'old'],
    ['after', 'new'],
  ] as const)('a connection dropped %s applying', async (when, name) => {
    setUp.emulator.faults.add({ kind: 'drop', when });
    await expect(rename()).rejects.toThrow('fetch failed');
    expect(storedName()).toBe(name);
    expect(setUp.emulator.log.at(-1)?.status).toBeNull();
  });

  test('a stall lasts until the caller gives up', async () => {
    const fault = setUp.emulator.faults.add({ kind: 'stall', when: 'after' });
    const caller = new AbortController();
    const reply = fetch(`${setUp.emulator.url}/oauth/apps/pem-app/clients/${setUp.client.id}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: '{"client_name":"new"}',
      signal: caller.signal,
    });
    const refused = expect(reply).rejects.toThrow('aborted');
    await expect.poll(() => fault.fired).toBe(1);
    caller.abort();
    await refused;
    expect(storedName()).toBe('new');
  });

  test('closing the emulator ends a stall and a latency', async () => {
    setUp.emulator.faults.add({ kind: 'stall', when: 'before' });
    setUp.emulator.faults.add({ kind: 'latency', ms: 3_600_000 });
    const stalled = expect(rename()).rejects.toThrow('fetch failed');
    const delayed = expect(rename()).rejects.toThrow('fetch failed');
    await expect.poll(() => setUp.emulator.log.length).toBe(2);
    await setUp.emulator.close();
    await Promise.all([stalled, delayed]);
  });
});

describe('late', () => {
  test('latency delays the answer and does no more', async () => {
    const start = performance.now();
    setUp.emulator.faults.add({ kind: 'latency', ms: 30 });
    expect(await rename()).toMatchObject({ status: 200, body: { client_name: 'new' } });
    expect(performance.now() - start).toBeGreaterThan(25);
  });

  test('a PATCH that is held back undoes one that was sent later', async () => {
    const gate = Promise.withResolvers<void>();
    const fault = setUp.emulator.faults.add({ kind: 'hold', until: gate.promise, when: 'before' });
    const late = rename();
    await expect.poll(() => fault.fired).toBe(1);
    setUp.emulator.edit(DEPLOYMENT, 'pem-app', setUp.client.id, { client_name: 'theirs' });
    gate.resolve();
    expect(await late).toMatchObject({ body: { client_name: 'new' } });
    expect(storedName()).toBe('new');
  });
});

describe('somebody else’s edit', () => {
  test('before applying is overwritten where both write', async () => {
    const edit = { client_name: 'theirs', redirect_uris: ['https://theirs.example.com/'] };
    setUp.emulator.faults.add({ kind: 'edit', when: 'before', edit });
    expect(await rename()).toMatchObject({ body: { client_name: 'new', redirect_uris: edit.redirect_uris } });
  });

  test('after applying is what the answer shows', async () => {
    setUp.emulator.faults.add({
      kind: 'edit',
      when: 'after',
      edit: (stored) => ({ client_name: `${stored.client_name}er` }),
    });
    expect(await rename()).toMatchObject({ status: 200, body: { client_name: 'newer' } });
    expect(storedName()).toBe('newer');
  });

  test('can come between two reads of the list', async () => {
    const fault = { kind: 'edit', when: 'before', client: setUp.client.id, edit: { client_name: 'theirs' } } as const;
    setUp.emulator.faults.add({ ...fault, skip: 1 });
    const names = async () => (await manage(setUp.emulator, 'GET', '/pem-app/clients')).body;
    expect(await names()).toMatchObject({ clients: [{ client_name: 'old' }] });
    expect(await names()).toMatchObject({ clients: [{ client_name: 'theirs' }] });
  });
});

test.each([
  ['members', { id: '1' }],
  ['a function', (body: unknown) => Object.assign(Object(body), { id: '1' })],
])('a tampered answer, by %s, leaves what is stored alone', async (_what, tamper) => {
  setUp.emulator.faults.add({ kind: 'tamper', tamper });
  expect(await rename()).toMatchObject({ status: 200, body: { id: '1', client_name: 'new' } });
  expect(setUp.emulator.client(DEPLOYMENT, 'pem-app', setUp.client.id).id).toBe(setUp.client.id);
});

describe('which requests', () => {
  test.each<[what: string, match: Match, fired: number]>([
    ['API', { api: 'management' }, 1],
    ['the other API', { api: 'runtime' }, 0],
    ['method', { method: 'PATCH' }, 1],
    ['another method', { method: 'GET' }, 0],
    ['path', { path: /clients/ }, 1],
    ['another path', { path: /apps$/ }, 0],
    ['deployment', { deployment: DEPLOYMENT }, 1],
    ['another deployment', { deployment: '42' }, 0],
    ['app', { app: 'pem-app' }, 1],
    ['another app', { app: 'kid-app' }, 0],
    ['another client', { client: '12' }, 0],
    ['everything', {}, 1],
  ])('by %s', async (_what, match, fired) => {
    const fault = setUp.emulator.faults.add({ kind: 'status', status: 500, match });
    expect((await rename()).status).toBe(fired === 1 ? 500 : 200);
    expect(fault.fired).toBe(fired);
  });

  test('the second and third of one client', async () => {
    const other = newClient();
    const fault = setUp.emulator.faults.add({
      kind: 'status',
      status: 500,
      match: { client: setUp.client.id },
      skip: 1,
      times: 2,
    });
    const statuses = [];
    for (const id of [setUp.client.id, other.id, setUp.client.id, setUp.client.id, setUp.client.id])
      statuses.push((await rename(id)).status);
    expect(statuses).toEqual([200, 200, 500, 500, 200]);
    expect(fault.fired).toBe(2);
  });

  test('none after they are cleared', async () => {
    setUp.emulator.faults.add({ kind: 'status', status: 500, times: Number.POSITIVE_INFINITY });
    expect((await rename()).status).toBe(500);
    setUp.emulator.faults.clear();
    expect((await rename()).status).toBe(200);
  });
});
