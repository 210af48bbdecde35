import { expect, test } from 'vitest';
import { parseReference } from '../../src/core/client.ts';
import type { ObservedClient } from '../../src/core/document.ts';
import { clientDirectory } from '../../src/wacht/directory.ts';
import type { ClientList } from '../../src/wacht/observed.ts';
import { until } from '../support/until.ts';

const A = parseReference('d/app/a');
const B = parseReference('d/app/b');
const OTHER = parseReference('d/other/a');

function observed(id: string, alg: string): ObservedClient {
  return {
    id,
    clientId: `oc_${id}`,
    authMethod: 'private_key_jwt',
    alg,
    jwksUri: null,
    keys: [],
    active: true,
    updatedAt: '',
  };
}

/** A list call that is answered when the test says so, and a clock that the test moves. */
function scene(options: { readonly keepMs?: number } = {}) {
  const calls: { app: string; answer(alg: string): void; fail(): void }[] = [];
  let now = 0;
  const listClients = (app: string) =>
    new Promise<ClientList>((resolve, reject) => {
      const answer = (alg: string) =>
        resolve({ clients: [observed('a', alg)], unreadable: new Map([['odd', 'alg: odd']]) });
      calls.push({ app, answer, fail: () => reject(new Error('list failed')) });
    });
  const directory = clientDirectory({ listClients }, { now: () => now, ...options });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const at = (ms: number) => {
    now = ms;
  };
  return { calls, directory, settle, at };
}

test('one read serves everybody who asked before it started', async () => {
  const { calls, directory, settle } = scene();
  const asked = [directory.observe(A, 0), directory.observe(B, 0), directory.observe(A, 0)];
  await settle();
  expect(calls.length).toBe(1);
  calls[0]?.answer('one');
  expect(await Promise.all(asked)).toEqual([observed('a', 'one'), null, observed('a', 'one')]);
});

test('a read that started early enough is used again, while under way and after', async () => {
  const { calls, directory, settle, at } = scene();
  at(10);
  const first = directory.observe(A, 10);
  await settle();
  at(20);
  const second = directory.observe(A, 10);
  calls[0]?.answer('one');
  expect(await first).toEqual(await second);
  expect((await directory.observe(A, 5))?.alg).toBe('one');
  expect(calls.length).toBe(1);
});

test('who asks for something newer waits for one next read, not for the old answer', async () => {
  const { calls, directory, settle, at } = scene();
  at(10);
  const early = directory.observe(A, 10);
  await settle();
  at(20);
  const late = [directory.observe(A, 20), directory.observe(A, 15)];
  await settle();
  expect(calls.length).toBe(1);
  calls[0]?.answer('old');
  expect((await early)?.alg).toBe('old');
  await settle();
  expect(calls.length).toBe(2);
  calls[1]?.answer('new');
  expect((await Promise.all(late)).map((client) => client?.alg)).toEqual(['new', 'new']);
});

test('a finished read that is too old is read again', async () => {
  const { calls, directory, settle, at } = scene();
  const first = directory.observe(A, 0);
  await settle();
  calls[0]?.answer('old');
  await first;
  at(20);
  const second = directory.observe(A, 20);
  await settle();
  calls[1]?.answer('new');
  expect((await second)?.alg).toBe('new');
});

test('a failing read throws for all who share it, and the next ask reads again', async () => {
  const { calls, directory, settle } = scene();
  const asked = [directory.observe(A, 0), directory.observe(B, 0)];
  await settle();
  calls[0]?.fail();
  for (const ask of asked) await expect(ask).rejects.toThrow('list failed');
  const again = directory.observe(A, 0);
  await settle();
  calls[1]?.answer('one');
  expect((await again)?.alg).toBe('one');
});

test('who waits for the next read gets it although the one before failed', async () => {
  const { calls, directory, settle, at } = scene();
  const early = directory.observe(A, 0);
  await settle();
  at(20);
  const late = directory.observe(A, 20);
  calls[0]?.fail();
  await expect(early).rejects.toThrow('list failed');
  await settle();
  calls[1]?.answer('new');
  expect((await late)?.alg).toBe('new');
});

test('apps are read apart from each other', async () => {
  const { calls, directory, settle } = scene();
  const asked = [directory.observe(A, 0), directory.observe(OTHER, 0)];
  await settle();
  expect(calls.map((call) => call.app)).toEqual(['app', 'other']);
  for (const call of calls) call.answer(call.app);
  expect((await Promise.all(asked)).map((client) => client?.alg)).toEqual(['app', 'other']);
});

test('a client whose row cannot be read is not one that is gone', async () => {
  const { calls, directory, settle } = scene();
  const asked = directory.observe(parseReference('d/app/odd'), 0);
  await settle();
  calls[0]?.answer('one');
  await expect(asked).rejects.toMatchObject({ code: 'api_failed', reply: { class: 'unknown' } });
  expect(await directory.observe(A, 0)).toEqual(observed('a', 'one'));
  expect(await directory.observe(B, 0)).toBeNull();
});

test('a list that is too old for anybody is forgotten', async () => {
  const { calls, directory, settle } = scene({ keepMs: 1 });
  const first = directory.observe(A, 0);
  await settle();
  calls[0]?.answer('one');
  await first;
  await until('it is read again', async () => {
    void directory.observe(A, 0);
    await settle();
    return calls.length === 2;
  });
});
