/** Many who listen, one who reads: with a real audit log. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Events, openEvents } from '../../src/http/events.ts';
import { createLog } from '../../src/runtime/log.ts';
import { twoStores } from '../store/fixtures.ts';
import { redisKinds } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Got, sink } from './sink.ts';

const idsIn = ({ text }: Got) => [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));

describe(`events on ${redisKinds[0]}`, () => {
  const workers = twoStores(redisKinds[0] ?? 'redis');
  let events: Events;
  let reads = 0;
  /** How often the one reader began. */
  let begun = 0;
  let isAway = false;
  let beforeRead = async (_seq: number) => {};
  beforeEach(() => {
    const { store } = workers.opened;
    [reads, begun] = [0, 0];
    isAway = false;
    beforeRead = async () => {};
    const counted = {
      settledSize: () => {
        begun += 1;
        return store.settledSize();
      },
      async settledAfter(seq: number, limit: number) {
        reads += 1;
        await beforeRead(seq);
        return isAway ? new Promise<never>(() => {}) : store.settledAfter(seq, limit);
      },
    };
    events = openEvents(counted, createLog({ level: 'silent' }), 300);
  });
  afterEach(() => events.close());

  const tell = (rotation: string, type: 'key.stored' | 'rotation.completed' = 'key.stored') =>
    workers.other.store.append([{ type, client: null, rotation, actor: 'test', reason: 'test', data: {} }]);

  function listen(
    rotation: string,
    more: { caller?: string; after?: number; isOver?: boolean; isValid?: () => Promise<boolean> } = {},
  ): Got {
    const got = sink();
    const { caller = 'siem', after = 0, isOver = false, isValid = async () => true } = more;
    expect(events.listen({ rotation, caller, after, isOver, isValid }, got)).toBe('listening');
    return got;
  }

  it('reach each listener once and in order, whether they came before it listened or after', async () => {
    for (const one of ['a', 'b', 'a', 'b']) await tell(one);
    const [early, late, other] = [listen('a'), listen('a', { after: 1 }), listen('b')];
    await until('the first are there', () => idsIn(early).length === 2 && idsIn(other).length === 2);
    for (const one of ['a', 'b', 'a']) await tell(one);
    await tell('a', 'rotation.completed');
    await until('it has ended', () => early.ended && late.ended);
    expect([idsIn(early), idsIn(late)]).toEqual([
      [1, 3, 5, 7, 8],
      [3, 5, 7, 8],
    ]);
    expect(other.ended).toBe(false);
    expect(idsIn(other)).toEqual([2, 4, 6]);
  });

  it('that were cut are said to be missing, once, and the others follow', async () => {
    for (let count = 0; count < 4; count += 1) await tell('a');
    const { redis, store } = workers.other;
    await redis.xtrim(store.keys.audit, 'MINID', '3-0');
    const late = listen('a', { after: 1 });
    await tell('a', 'rotation.completed');
    await until('it has ended', () => late.ended);
    expect(late.text.startsWith('event: cut\ndata: {"after":1,"first":3}\n\nid: 3\n')).toBe(true);
    expect(late.text.match(/event: cut/g)).toHaveLength(1);
    expect(idsIn(late)).toEqual([3, 4, 5]);
  });

  it('that are written while somebody reads what was before are told once', async () => {
    await tell('b');
    const stays = listen('b');
    await until('the first is there', () => idsIn(stays).length === 1);
    // After the last look of the one reader, and before its next one.
    beforeRead = async (seq) => {
      if (seq > 0) return;
      beforeRead = async () => {};
      await tell('a');
    };
    const late = listen('a');
    await until('it was told', () => idsIn(late).length > 0);
    await tell('a', 'rotation.completed');
    await until('it has ended', () => late.ended);
    expect(idsIn(late)).toEqual([2, 3]);
  });

  it('come from one reader, however many listen, also of a log of many pages', async () => {
    for (let page = 0; page < 5; page += 1) await Promise.all(Array.from({ length: 250 }, () => tell('before')));
    const many = Array.from({ length: 500 }, (_, index) => listen('a', { caller: `caller ${index % 5}` }));
    await tell('a');
    await until('all have heard', () => many.every((one) => idsIn(one).length === 1));
    expect(reads).toBeLessThan(50);
  });

  it('end at once for a rotation that is over, and with those that are no longer allowed', async () => {
    await tell('a');
    const over = listen('a', { isOver: true });
    let isAllowed = true;
    const listener = listen('a', { isValid: async () => isAllowed });
    await until('the first has ended', () => over.ended);
    expect(idsIn(over)).toEqual([1]);
    await until('a beat comes', () => listener.text.includes('\n:\n'));
    isAllowed = false;
    await until('it is sent away', () => listener.ended);
  });

  it('end for a listener that does not read, and for one that has left; without listeners nobody reads the log', async () => {
    const [slow, gone] = [listen('a'), listen('a')];
    slow.writableLength = 10_000_000;
    gone.leave();
    await tell('a');
    await until('the slow one is sent away', () => slow.ended);
    expect(gone.text).toBe('');
    await until('the next listener begins it anew', () => {
      listen('b').leave();
      return begun > 1;
    });
  });

  it('are not written to one that was sent away in the middle of a page, or while it was asked for', async () => {
    for (const one of ['a', 'a', 'a']) await tell(one);
    const slow = listen('a');
    slow.writableLength = 10_000_000;
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<boolean>();
    const isValid = () => {
      asked.resolve();
      return answer.promise;
    };
    const held = listen('b', { isValid });
    await until('the slow one is sent away', () => slow.ended);
    expect(idsIn(slow)).toEqual([1]);
    await asked.promise;
    const closed = events.close();
    answer.resolve(true);
    await closed;
    expect([held.ended, held.text]).toEqual([true, '']);
  });

  it('take no place for those who left before their stream began', async () => {
    const gone = { ...sink(), destroyed: true };
    const about = { rotation: 'a', caller: 'siem', after: 0, isOver: false, isValid: async () => true };
    for (let one = 0; one < 2_000; one += 1) events.listen(about, gone);
    listen('a');
  });

  it('end with the service also while the store does not answer', async () => {
    const listener = listen('a');
    await until('the log is read', () => reads > 0);
    isAway = true;
    const before = reads;
    await until('the log is asked in vain', () => reads > before);
    await events.close();
    expect(listener.ended).toBe(true);
  });
});
