import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StoredClient } from './clients.ts';
import type { Match } from './fault-rules.ts';
import type { Emulator } from './server.ts';
import { API_KEY, DEPLOYMENT, makeKey, manage, startTestEmulator } from './testing.ts';

const { pem } = makeKey('ES256');
let emulator: Emulator;
let client: StoredClient;

beforeEach(async () => {
  emulator = await startTestEmulator({ admin: true });
  client = newClient();
});
afterEach(() => emulator.close());

function newClient() {
  return emulator.addClient({ deployment: DEPLOYMENT, app: 'pem-app', public_key_pem: pem, client_name: 'old' });
}

function rename(id = client.id) {
  return manage(emulator, 'PATCH', `/pem-app/clients/${id}`, { body: { client_name: 'new' } });
}

function storedName() {
  return emulator.client(DEPLOYMENT, 'pem-app', client.id).client_name;
}

describe('no answer', () => {
  test.each([
    ['before', 'old'],
    ['after', 'new'],
  ] as const)('a connection dropped %s applying', async (when, name) => {
    emulator.faults.add({ kind: 'drop', when });
    await expect(rename()).rejects.toThrow('fetch failed');
    expect(storedName()).toBe(name);
    expect(emulator.log.at(-1)?.status).toBeNull();
  });

  test('a stall lasts until the caller gives up', async () => {
    const fault = emulator.faults.add({ kind: 'stall', when: 'after' });
    const caller = new AbortController();
    const reply = fetch(`${emulator.url}/oauth/apps/pem-app/clients/${client.id}`, {
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
    emulator.faults.add({ kind: 'stall', when: 'before' });
    emulator.faults.add({ kind: 'latency', ms: 3_600_000 });
    const stalled = expect(rename()).rejects.toThrow('fetch failed');
    const delayed = expect(rename()).rejects.toThrow('fetch failed');
    await expect.poll(() => emulator.log.length).toBe(2);
    await emulator.close();
    await Promise.all([stalled, delayed]);
  });
});

describe('late', () => {
  test('latency delays the answer and does no more', async () => {
    const start = performance.now();
    emulator.faults.add({ kind: 'latency', ms: 30 });
    expect(await rename()).toMatchObject({ status: 200, body: { client_name: 'new' } });
    expect(performance.now() - start).toBeGreaterThan(25);
  });

  test('a PATCH that is held back undoes one that was sent later', async () => {
    const gate = Promise.withResolvers<void>();
    const fault = emulator.faults.add({ kind: 'hold', until: gate.promise, when: 'before' });
    const late = rename();
    await expect.poll(() => fault.fired).toBe(1);
    emulator.edit(DEPLOYMENT, 'pem-app', client.id, { client_name: 'theirs' });
    gate.resolve();
    expect(await late).toMatchObject({ body: { client_name: 'new' } });
    expect(storedName()).toBe('new');
  });
});

describe('somebody else’s edit', () => {
  test('before applying is overwritten where both write', async () => {
    const edit = { client_name: 'theirs', redirect_uris: ['https://theirs.example.com/'] };
    emulator.faults.add({ kind: 'edit', when: 'before', edit });
    expect(await rename()).toMatchObject({ body: { client_name: 'new', redirect_uris: edit.redirect_uris } });
  });

  test('after applying is what the answer shows', async () => {
    emulator.faults.add({
      kind: 'edit',
      when: 'after',
      edit: (stored) => ({ client_name: `${stored.client_name}er` }),
    });
    expect(await rename()).toMatchObject({ status: 200, body: { client_name: 'newer' } });
    expect(storedName()).toBe('newer');
  });

  test('can come between two reads of the list', async () => {
    const fault = { kind: 'edit', when: 'before', client: client.id, edit: { client_name: 'theirs' } } as const;
    emulator.faults.add({ ...fault, skip: 1 });
    const names = async () => (await manage(emulator, 'GET', '/pem-app/clients')).body;
    expect(await names()).toMatchObject({ clients: [{ client_name: 'old' }] });
    expect(await names()).toMatchObject({ clients: [{ client_name: 'theirs' }] });
  });
});

test.each([
  ['members', { id: '1' }],
  ['a function', (body: unknown) => Object.assign(Object(body), { id: '1' })],
])('a tampered answer, by %s, leaves what is stored alone', async (_what, tamper) => {
  emulator.faults.add({ kind: 'tamper', tamper });
  expect(await rename()).toMatchObject({ status: 200, body: { id: '1', client_name: 'new' } });
  expect(emulator.client(DEPLOYMENT, 'pem-app', client.id).id).toBe(client.id);
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
    const fault = emulator.faults.add({ kind: 'status', status: 500, match });
    expect((await rename()).status).toBe(fired === 1 ? 500 : 200);
    expect(fault.fired).toBe(fired);
  });

  test('the second and third of one client', async () => {
    const other = newClient();
    const fault = emulator.faults.add({ kind: 'status', status: 500, match: { client: client.id }, skip: 1, times: 2 });
    const statuses = [];
    for (const id of [client.id, other.id, client.id, client.id, client.id]) statuses.push((await rename(id)).status);
    expect(statuses).toEqual([200, 200, 500, 500, 200]);
    expect(fault.fired).toBe(2);
  });

  test('none after they are cleared', async () => {
    emulator.faults.add({ kind: 'status', status: 500, times: Number.POSITIVE_INFINITY });
    expect((await rename()).status).toBe(500);
    emulator.faults.clear();
    expect((await rename()).status).toBe(200);
  });
});
