/** How far each webhook is: cursors, dead letters, and who delivers. */
import { describe, expect, it } from 'vitest';
import { type DeadLetter, MOST_DEAD } from '../../src/core/webhook.ts';
import type { Store } from '../../src/store/store.ts';
import type { WebhookTurn } from '../../src/store/webhooks.ts';
import { redisKinds } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { draft, ref, twoStores } from './fixtures.ts';

const LONG_MS = 60_000;

async function filled(store: Store, count: number): Promise<void> {
  await store.append(Array.from({ length: count }, (_, index) => draft(ref(`client-${index}`))));
}

/** @throws when another worker has it */
async function taken(store: Store, name: string, holder = 'a'): Promise<WebhookTurn> {
  const turn = await store.takeWebhook(name, holder, LONG_MS);
  if ('heldMs' in turn) throw new Error(`${name} is held for ${turn.heldMs} ms`);
  return turn;
}

async function letter(store: Store, seq: number, why = 'it answers 500'): Promise<DeadLetter> {
  const [entry] = await store.auditAfter(seq - 1, 1);
  if (entry === undefined) throw new Error(`there is no entry ${seq}`);
  return { entry, why, at: 1 };
}

/** As `giveUp` takes it. */
async function given(store: Store, seq: number) {
  return { to: seq, letters: [await letter(store, seq)], error: 'it answers 500' };
}

const NOTE = { ...draft(null, 'a person'), type: 'webhook.retried' } as const;

describe.each(redisKinds)('webhooks on %s', (kind) => {
  const two = twoStores(kind);

  it('begins a new one at the end of the log, and moves its cursor only from where it is', async () => {
    const { store } = two.opened;
    await filled(store, 3);
    expect(await store.neededFrom(['siem'])).toBeNull();
    expect((await taken(store, 'siem')).state).toEqual({
      ...{ cursor: 3, tries: 0, failingSince: null, nextAt: null, error: null, stopped: null, dropped: 0 },
    });
    await filled(store, 2);
    expect(await store.neededFrom(['siem', 'unknown'])).toBe(4);
    expect(await store.passWebhook('siem', 3, 4)).toBe(true);
    expect(await two.other.store.passWebhook('siem', 3, 5)).toBe(false);
    expect((await taken(store, 'siem')).state.cursor).toBe(4);
    await taken(store, 'late');
    expect(await store.neededFrom(['late', 'siem'])).toBe(5);
    expect(await store.neededFrom(['late'])).toBe(6);
    expect(await store.neededFrom([])).toBeNull();
    expect((await store.webhookStandings(['siem', 'unknown'])).get('siem')).toMatchObject({ pending: 1, dead: 0 });
  });

  it('is delivered by one worker at a time, and by the next when that one leaves or is gone', async () => {
    const [{ store }, { store: other }] = [two.opened, two.other];
    await taken(store, 'siem');
    const held = await other.takeWebhook('siem', 'b', LONG_MS);
    expect(held).toEqual({ heldMs: expect.any(Number) });
    expect('heldMs' in held && held.heldMs).toBeLessThanOrEqual(LONG_MS);
    await store.leaveWebhook('siem', 'b');
    await expect(taken(other, 'siem', 'b')).rejects.toThrow('is held');
    await store.leaveWebhook('siem', 'a');
    await taken(other, 'siem', 'b');
    await other.takeWebhook('siem', 'b', 1);
    await until('the lease is over', async () => !('heldMs' in (await store.takeWebhook('siem', 'a', LONG_MS))));
  });

  it('counts failures until something is delivered, and buries what is given up', async () => {
    const { store } = two.opened;
    await taken(store, 'siem');
    await filled(store, 2);
    const failure = { error: 'it answers 500', delayMs: LONG_MS };
    expect(await store.noteFailure('siem', 0, failure)).toBe(true);
    expect(await store.noteFailure('siem', 0, failure)).toBe(true);
    expect(await store.noteFailure('siem', 7, failure)).toBe(false);
    const { state, now } = await taken(store, 'siem');
    expect(state).toMatchObject({ cursor: 0, tries: 2, error: 'it answers 500' });
    expect(state.nextAt).toBeGreaterThan(now);
    expect(state.failingSince).toBeLessThanOrEqual(now);
    const gone = await given(store, 1);
    expect(await store.giveUp('siem', 0, gone, LONG_MS)).toBe(true);
    expect(await store.giveUp('siem', 0, gone, LONG_MS)).toBe(false);
    expect(await store.deadLetters('siem')).toEqual(gone.letters);
    // Its receiver is still away: that goes on being told until something is delivered.
    expect((await taken(store, 'siem')).state).toMatchObject({
      ...{ cursor: 1, tries: 3, failingSince: state.failingSince },
    });
    expect(await store.passWebhook('siem', 1, 2)).toBe(true);
    expect((await taken(store, 'siem')).state).toMatchObject({
      tries: 0,
      failingSince: null,
      nextAt: null,
      error: null,
    });
  });

  it('tries dead letters again, or discards them, with an audit entry; a stopped webhook goes on', async () => {
    const { store } = two.opened;
    await taken(store, 'siem');
    await filled(store, 3);
    for (const seq of [1, 2, 3]) await store.giveUp('siem', seq - 1, await given(store, seq), 1);
    const stopped = { why: 'it answers 410', config: 'x' };
    expect(await store.stopWebhook('siem', 3, stopped, [{ ...NOTE, type: 'webhook.stopped' }])).toBe(true);
    expect((await taken(store, 'siem')).state.stopped).toEqual(stopped);
    expect(await store.retryLetters('siem', [1, 3, 99], [NOTE])).toBe(2);
    expect(await taken(store, 'siem')).toMatchObject({ again: 2, state: { stopped: null, nextAt: null } });
    expect(await store.nextAgain('siem')).toMatchObject({ entry: { seq: 1 } });
    await store.settleAgain('siem', 1, null);
    await store.settleAgain('siem', 3, await letter(store, 3, 'it answers 400'));
    expect(await store.nextAgain('siem')).toBeNull();
    expect(await store.deadLetters('siem')).toMatchObject([{ entry: { seq: 2 } }, { why: 'it answers 400' }]);
    expect(await store.discardLetters('siem', 'all', [{ ...NOTE, type: 'webhook.discarded' }])).toBe(2);
    expect(await store.discardLetters('siem', 'all', [{ ...NOTE, type: 'webhook.discarded' }])).toBe(0);
    expect((await store.auditTail(3)).map(({ type }) => type)).toEqual([
      ...['webhook.stopped', 'webhook.retried', 'webhook.discarded'],
    ]);
  });

  it('keeps a bounded number of dead letters, and counts those that it drops', async () => {
    const { store, redis } = two.opened;
    const { dead } = store.keys.webhook('siem');
    await taken(store, 'siem');
    await filled(store, 2);
    const old = Array.from({ length: MOST_DEAD - 1 }, (_, index) => [-1 - index, `letter ${index}`]);
    await redis.zadd(dead, ...old.flat());
    await store.giveUp('siem', 0, await given(store, 1), 1);
    expect((await store.webhookStandings(['siem'])).get('siem')).toMatchObject({ dead: MOST_DEAD, dropped: 0 });
    await store.giveUp('siem', 1, await given(store, 2), 1);
    expect((await store.webhookStandings(['siem'])).get('siem')).toMatchObject({ dead: MOST_DEAD, dropped: 1 });
    expect((await redis.zrange(dead, '-2', '-1')).map((text) => JSON.parse(text).entry.seq)).toEqual([1, 2]);
  });

  it('forgets one that no worker has had for a while, and no other', async () => {
    const [{ store, redis }, { store: other }] = [two.opened, two.other];
    await taken(store, 'gone');
    await filled(store, 1);
    await store.giveUp('gone', 0, await given(store, 1), 1);
    await taken(store, 'siem');
    // A worker that does not deliver it has it in its config all the same.
    expect(await other.takeWebhook('siem', 'b', LONG_MS)).toHaveProperty('heldMs');
    expect(await store.forgetWebhooks(['siem'], LONG_MS)).toEqual([]);
    expect(await store.forgetWebhooks(['siem'], 0)).toEqual(['gone']);
    expect(await store.forgetWebhooks(['siem'], 0)).toEqual([]);
    expect(await store.neededFrom(['gone'])).toBeNull();
    expect(await redis.exists(Object.values(store.keys.webhook('gone')).slice(0, 3))).toBe(0);
    expect(await store.neededFrom(['siem'])).toBe(2);
  });
});
