/** Tokens: what a worker accepts, and that neither an old list nor one that somebody wrote by hand makes one valid again. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openTokenBook } from '../../src/http/tokens.ts';
import type { Kek } from '../../src/keys/kek.ts';
import { twoStores } from '../store/fixtures.ts';
import { redisKinds } from '../support/redis.ts';
import { until } from '../support/until.ts';

const CAUSE = { actor: 'cli:jane', reason: 'test' };
const KEK: Kek = { id: 'kek-1', key: randomBytes(32) };
const OTHER: Kek = { id: 'kek-2', key: randomBytes(32) };
const TOKENS_KEY = '{rekeyd}:store:tokens';

describe(`tokens on ${redisKinds[0]}`, () => {
  const workers = twoStores(redisKinds[0] ?? 'redis');
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  function folder(): string {
    const made = mkdtempSync(join(tmpdir(), 'rekeyd-tokens-'));
    folders.push(made);
    return made;
  }

  /** As another process sees them. */
  const book = (options: { keks?: readonly Kek[]; dataDir?: string } = {}) =>
    openTokenBook({ store: workers.other.store, keks: [KEK], dataDir: folder(), ...options });

  const wanted = async (name: string, more: object = {}) => ({
    ...{ name, scopes: ['read'] as const, only: null },
    expiresAt: (await workers.other.store.now()) + 60_000,
    ...more,
  });
  const make = async (name: string, more: object = {}) => book().create(await wanted(name, more), CAUSE);
  const raw = () => workers.opened.redis;

  it('are found by their value in every worker, and by nothing else', async () => {
    const value = await make('siem', { scopes: ['rotate', 'read'], only: 'dep/app' });
    expect(await book().find(value)).toMatchObject({ name: 'siem', scopes: ['rotate', 'read'], only: 'dep/app' });
    const similar = `${value.slice(0, -1)}${value.endsWith('A') ? 'B' : 'A'}`;
    for (const other of [similar, '', 'rekeyd_', value.slice(7), `${value} `]) {
      expect(await book().find(other), other).toBeNull();
    }
  });

  it('are not in the store, in clear', async () => {
    const value = await make('siem');
    const stored = String(await raw().get(TOKENS_KEY));
    expect(stored).not.toContain(value);
    expect(Buffer.from(stored.split('.')[1] ?? '', 'base64url').toString()).not.toContain(value.slice(7));
  });

  it('are told in the audit log, without their value', async () => {
    const value = await make('siem');
    await book().revoke('siem', CAUSE);
    const entries = await workers.other.store.auditAfter(0, 10);
    expect(entries.map(({ type, data }) => [type, data.name])).toEqual([
      ['token.created', 'siem'],
      ['token.revoked', 'siem'],
    ]);
    expect(JSON.stringify(entries)).not.toContain(value.slice(7));
  });

  it('are taken up at once by a worker that has just read the list, and after a moment no longer when revoked', async () => {
    const worker = book();
    expect(await worker.find(await make('first'))).toMatchObject({ name: 'first' });
    const value = await make('second');
    expect(await worker.find(value)).toMatchObject({ name: 'second' });
    await book().revoke('second', CAUSE);
    await until('it is refused', async () => (await worker.find(value)) === null);
  });

  it('end: when revoked, and when they have expired', async () => {
    const [ends, stays] = [await make('ends'), await make('stays')];
    await book().revoke('ends', CAUSE);
    expect(await book().find(ends)).toBeNull();
    expect(await book().find(stays)).toMatchObject({ name: 'stays' });
    expect(await book().find(await make('old', { expiresAt: await workers.other.store.now() }))).toBeNull();
    await expect(book().revoke('ends', CAUSE)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('have a name of their own, until they have expired', async () => {
    await make('siem', { expiresAt: await workers.other.store.now() });
    await make('siem');
    await expect(make('siem')).rejects.toMatchObject({ code: 'usage' });
    for (const name of ['', 'A', 'a b', '../x', '__proto__']) {
      await expect(make(name), name).rejects.toMatchObject({ code: 'usage' });
    }
    await expect(make('x', { only: 'no app' })).rejects.toMatchObject({ code: 'usage' });
  });

  it('made at the same moment are all there', async () => {
    const values = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => make(name)));
    const found = await Promise.all(values.map((value) => book().find(value)));
    expect(found.map((token) => token?.name)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('that were revoked stay so where somebody puts the list from before back, also in a new process', async () => {
    const value = await make('ends');
    const before = String(await raw().get(TOKENS_KEY));
    const dataDir = folder();
    await book({ dataDir }).revoke('ends', CAUSE);
    await raw().set(TOKENS_KEY, before);
    await expect(book({ dataDir }).find(value)).rejects.toMatchObject({ code: 'key_tampered' });
    await raw().del(TOKENS_KEY);
    await expect(book({ dataDir }).find(value)).rejects.toMatchObject({ code: 'key_tampered' });
    await book({ dataDir }).revokeAll(CAUSE);
    expect(await book({ dataDir }).find(value)).toBeNull();
    expect(await book({ dataDir }).find(await make('next'))).toMatchObject({ name: 'next' });
  });

  it('that were revoked by a command on this machine stay so in a worker that has not read the list since', async () => {
    const value = await make('ends');
    const before = String(await raw().get(TOKENS_KEY));
    const dataDir = folder();
    const worker = book({ dataDir });
    expect(await worker.find(value)).toMatchObject({ name: 'ends' });
    await book({ dataDir }).revoke('ends', CAUSE);
    await raw().set(TOKENS_KEY, before);
    const refused = await until('the worker reads the list', async () => {
      return (await worker.find(value).catch((error: unknown) => error)) instanceof Error;
    });
    expect(refused).toBe(true);
  });

  it('can be made again on every machine once one has revoked all, however far the list was counted elsewhere', async () => {
    const elsewhere = folder();
    for (const name of ['a', 'b', 'c']) await book({ dataDir: elsewhere }).create(await wanted(name), CAUSE);
    await raw().set(TOKENS_KEY, 'no list');
    await book().revokeAll(CAUSE);
    expect(await book({ dataDir: elsewhere }).find(await make('next'))).toMatchObject({ name: 'next' });
  });

  it('of a store that was lost are none', async () => {
    const value = await make('siem');
    const moved = { ...workers.other.store, id: randomUUID() };
    const replaced = openTokenBook({ store: moved, keks: [KEK], dataDir: folder() });
    expect(await replaced.find(value)).toBeNull();
  });

  it.each([
    ['a list that is not signed', (jws: string) => Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString()],
    ['one whose signature is another’s', (jws: string) => `${jws.slice(0, -8)}AAAAAAAA`],
    ['one that was changed', (jws: string) => jws.replace(/\.[^.]*\./, `.${Buffer.from('{}').toString('base64url')}.`)],
  ])('written by hand are refused: %s', async (_, forge) => {
    const value = await make('siem');
    await raw().set(TOKENS_KEY, forge(String(await raw().get(TOKENS_KEY))));
    await expect(book().find(value)).rejects.toMatchObject({
      code: expect.stringMatching(/^key_tampered|kek_missing$/),
    });
  });

  it('stay when the KEK is replaced, once they are signed anew', async () => {
    const value = await make('siem');
    const moving = book({ keks: [OTHER, KEK] });
    expect(await moving.find(value)).toMatchObject({ name: 'siem' });
    expect([await moving.resign(CAUSE), await moving.resign(CAUSE)]).toEqual([true, false]);
    expect(await book({ keks: [OTHER] }).find(value)).toMatchObject({ name: 'siem' });
    await expect(book().find(value)).rejects.toMatchObject({ code: 'kek_missing' });
  });

  it('are signed anew also while another command, with the KEK from before, makes one', async () => {
    await make('siem');
    const { store } = workers.other;
    let isFirst = true;
    const contested: typeof store = {
      ...store,
      async replaceTokens(...change) {
        if (isFirst) {
          isFirst = false;
          await make('meanwhile');
        }
        return store.replaceTokens(...change);
      },
    };
    const moving = openTokenBook({ store: contested, keks: [OTHER, KEK], dataDir: folder() });
    expect(await moving.resign(CAUSE)).toBe(true);
    expect((await book({ keks: [OTHER] }).list()).map(({ name }) => name)).toEqual(['siem', 'meanwhile']);
  });

  it('note which list was seen last where only rekeyd writes', async () => {
    const dataDir = folder();
    await book({ dataDir }).create(await wanted('siem'), CAUSE);
    const { id } = workers.other.store;
    expect(JSON.parse(readFileSync(join(dataDir, 'tokens.json'), 'utf8'))).toEqual({ store: id, serial: 1 });
  });
});
