import { expect, test } from 'vitest';
import { parseReference } from '../../src/core/client.ts';
import type { ObservedClient } from '../../src/core/document.ts';
import { type LookBy, SLOW_MS } from '../../src/core/server.ts';
import { sleep, untilAborted } from '../../src/time.ts';
import { ApiError } from '../../src/wacht/api-error.ts';
import type { PatchReply } from '../../src/wacht/client.ts';
import { openLooks } from '../../src/wacht/looks.ts';

const REF = parseReference('d/app/a');
const OTHER = parseReference('d/app/b');
const CLIENT: ObservedClient = {
  id: 'a',
  clientId: 'oc_a',
  authMethod: 'private_key_jwt',
  alg: 'ES256',
  jwksUri: null,
  keys: [],
  active: true,
  updatedAt: '2026-11-05T12:00:00Z',
};
const LATER = { ...CLIENT, updatedAt: '2026-11-05T12:00:01Z' };

const done = (client: ObservedClient): PatchReply => ({ class: 'done', status: 200, client });
const refused = (status: number): PatchReply => ({ class: 'refused', status, message: 'no' });

interface Scene {
  readonly listed?: ObservedClient | null;
  /** What the lists show one after the other; the last one again and again. */
  readonly lists?: readonly (ObservedClient | Promise<never>)[];
  /** How long a list takes at the least, in ms. */
  readonly slowMs?: number;
  readonly replies: readonly PatchReply[];
  readonly known?: LookBy;
}

/** A server that lists the client, and answers PATCHes without members one after the other; the last answer again and again. */
function scene({ listed = CLIENT, lists = [], slowMs = 0, replies, known }: Scene) {
  let read = 0;
  const calls: string[] = [];
  const notes: string[] = [];
  let asked = 0;
  const looks = openLooks({
    wacht: {
      async lookAtClient() {
        calls.push('patch');
        asked += 1;
        const reply = replies[Math.min(asked, replies.length) - 1];
        if (reply === undefined) throw new Error('nobody may ask this');
        return reply;
      },
    },
    lists: {
      async find(_ref, signal) {
        calls.push('list');
        read += 1;
        if (slowMs > 0) await sleep(slowMs);
        return untilAborted(Promise.resolve(lists[Math.min(read, lists.length) - 1] ?? listed), signal);
      },
    },
    known: async () => known ?? null,
    note: async (by) => void notes.push(by),
  });
  return { looks, calls, notes };
}

test('the first look of a deployment is compared with the list; from then on a PATCH does', async () => {
  const { looks, calls, notes } = scene({ replies: [done(LATER)] });
  expect((await looks.look(REF, false)).client).toEqual(LATER);
  expect((await looks.look(REF, false)).client).toEqual(LATER);
  expect(calls).toEqual(['list', 'patch', 'patch']);
  expect(notes).toEqual(['patch']);
});

test('a client that the first list does not have was looked for when that list was asked for', async () => {
  const { looks } = scene({ listed: null, slowMs: 20, replies: [] });
  const { client, ageMs } = await looks.look(REF, false);
  expect(client).toBeNull();
  // A timer may fire a little early.
  expect(ageMs).toBeGreaterThanOrEqual(15);
});

test('what was found out before is not found out again', async () => {
  const { looks, calls, notes } = scene({ replies: [done(LATER)], known: 'patch' });
  expect((await looks.look(REF, false)).client).toEqual(LATER);
  expect(calls).toEqual(['patch']);
  expect(notes).toEqual([]);
});

test('several first looks at once are compared once', async () => {
  const { looks, calls } = scene({ replies: [done(LATER)] });
  await Promise.all([looks.look(REF, false), looks.look(REF, false), looks.look(REF, false)]);
  expect(calls).toEqual(['list', 'patch', 'patch', 'patch']);
});

test('a deployment where such a PATCH changes something goes by lists', async () => {
  const { looks, calls, notes } = scene({ replies: [done({ ...LATER, alg: 'RS256' })] });
  // What it shows now is what it holds now.
  expect((await looks.look(REF, false)).client?.alg).toBe('RS256');
  expect((await looks.look(REF, false)).client).toEqual(CLIENT);
  expect(calls).toEqual(['list', 'patch', 'list', 'list']);
  expect(notes).toEqual(['list']);
});

test.each([405, 422])('a deployment that answers %i to it goes by lists', async (status) => {
  for (const known of [undefined, 'patch'] as const) {
    const { looks, calls, notes } = scene({ replies: [refused(status)], ...(known && { known }) });
    expect((await looks.look(REF, false)).client).toEqual(CLIENT);
    expect((await looks.look(REF, false)).client).toEqual(CLIENT);
    expect(calls.filter((call) => call === 'patch')).toHaveLength(1);
    expect(notes).toEqual(['list']);
  }
});

test('one client that is answered 400 goes by the list alone, two speak for the deployment', async () => {
  const { looks, calls, notes } = scene({ replies: [refused(400)], known: 'patch' });
  for (let round = 0; round < 2; round += 1) expect((await looks.look(REF, false)).client).toEqual(CLIENT);
  expect(calls).toEqual(['patch', 'list', 'patch', 'list']);
  expect(notes).toEqual([]);
  expect((await looks.look(OTHER, false)).client).toEqual(CLIENT);
  expect(notes).toEqual(['list']);
});

test('what is urgent waits for no list while nothing is known', async () => {
  const { looks, calls, notes } = scene({ replies: [done(LATER)] });
  expect((await looks.look(REF, true)).client).toEqual(LATER);
  expect(calls).toEqual(['patch']);
  expect(notes).toEqual([]);
});

test('a client that somebody changed between list and PATCH says nothing about the deployment', async () => {
  const lists = [CLIENT, { ...CLIENT, alg: 'RS256' }];
  const { looks, notes } = scene({ lists, replies: [done({ ...LATER, alg: 'RS256' })] });
  expect((await looks.look(REF, false)).client?.alg).toBe('RS256');
  expect(notes).toEqual(['patch']);
});

test('an answer that shows another client is none', async () => {
  const { looks } = scene({ replies: [done({ ...LATER, id: 'b' })], known: 'patch' });
  await expect(looks.look(REF, false)).rejects.toMatchObject({ reply: { class: 'unknown', status: 200 } });
});

test('a caller that gives up does not wait for a list', async () => {
  const { looks } = scene({ lists: [new Promise(() => {})], replies: [] });
  const stop = new AbortController();
  const waiting = [looks.look(REF, false, stop.signal), looks.look(OTHER, false, stop.signal)];
  stop.abort(new Error('seen enough'));
  for (const look of waiting) await expect(look).rejects.toThrow('seen enough');
});

test('a client that the server does not have is none, and says nothing about the deployment', async () => {
  const listless = scene({ listed: null, replies: [] });
  expect((await listless.looks.look(REF, false)).client).toBeNull();
  expect(listless.notes).toEqual([]);
  const { looks, notes } = scene({ replies: [refused(404)], known: 'patch' });
  expect((await looks.look(REF, false)).client).toBeNull();
  expect(notes).toEqual([]);
});

test.each<[string, PatchReply]>([
  ['no answer', { class: 'unknown', status: null, message: 'away' }],
  ['a refused API key', { class: 'credential', status: 401, message: 'no' }],
  ['a 429', { class: 'throttled', status: 429, message: 'later', retryAfterMs: 1_000 }],
])('%s says nothing about the client, nor the deployment', async (_, reply) => {
  for (const known of [undefined, 'patch'] as const) {
    const { looks, notes } = scene({ replies: [reply, done(LATER)], ...(known && { known }) });
    await expect(looks.look(REF, false)).rejects.toBeInstanceOf(ApiError);
    expect(notes).toEqual([]);
    expect((await looks.look(REF, false)).client).toEqual(LATER);
  }
});

test('how old a look is counts from when it was asked for, but where only a list can be had', async () => {
  const patched = scene({ replies: [done(LATER)], known: 'patch' });
  expect((await patched.looks.look(REF, false)).ageMs).toBeGreaterThanOrEqual(0);
  const listed = scene({ replies: [], known: 'list' });
  expect((await listed.looks.look(REF, false)).ageMs).toBeLessThanOrEqual(SLOW_MS);
});
