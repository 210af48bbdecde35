/** Open pages hear that something changed: with a real audit log. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditType } from '../../../src/core/audit.ts';
import type { ClientRef } from '../../../src/core/client.ts';
import { type Live, MOST_OF_A_VISITOR, openLive } from '../../../src/http/page/live.ts';
import type { Principal } from '../../../src/http/principal.ts';
import { createLog } from '../../../src/runtime/log.ts';
import { ref, twoStores } from '../../store/fixtures.ts';
import { redisKinds } from '../../support/redis.ts';
import { until } from '../../support/until.ts';
import { type Got, sink } from '../sink.ts';

const ANA: Principal = { claimedBy: 'token:ana', key: 'ana', scopes: ['read'], only: null, isValid: async () => true };

/** What each event names; `hello` for the first one. */
function heard({ text }: Got): readonly (string | readonly string[])[] {
  return [...text.matchAll(/^event: (\w+)\ndata: (.*)$/gm)].map(([, name = '', data = '']) =>
    name === 'changed' ? JSON.parse(data).clients : name,
  );
}

/** In ms: a store that is busy with other tests answers within it. */
const PATIENT_MS = 60_000;

describe(`live pages on ${redisKinds[0]}`, () => {
  const workers = twoStores(redisKinds[0] ?? 'redis');
  let live: Live;
  let reads = 0;
  let fails = false;
  let hangs = false;
  beforeEach(() => {
    [reads, fails, hangs] = [0, false, false];
    live = open(PATIENT_MS);
  });
  afterEach(() => live.close());

  function open(patienceMs: number): Live {
    const { store } = workers.opened;
    const counted = {
      ...store,
      async settledAfter(seq: number, limit: number) {
        reads += 1;
        if (fails) throw new Error('Redis is away');
        if (hangs) return new Promise<never>(() => {});
        return store.settledAfter(seq, limit);
      },
    };
    const log = createLog({ level: 'silent' });
    const times = { lookMs: 20, beatMs: 60, patienceMs };
    return openLive({ store: counted, deployments: () => ['185019846023'], log }, times);
  }

  const tell = (client: ClientRef | null, type: AuditType = 'key.stored') =>
    workers.other.store.append([{ type, client, rotation: null, actor: 'test', reason: 'test', data: {} }]);

  async function look(client: ClientRef | null = null, who: Partial<Principal> = {}): Promise<Got> {
    const got = sink();
    expect(live.look({ principal: { ...ANA, ...who }, client }, got)).toBe('listening');
    expect(got.text).toBe('');
    await until('it is greeted', () => got.text.startsWith('event: hello\n'));
    return got;
  }

  it('hear of what changes after they are greeted, and of their own client alone', async () => {
    await tell(ref('before'));
    const [all, one, other] = [await look(), await look(ref('one')), await look(ref('other'))];
    await tell(ref('one'));
    await until('both hear', () => heard(all).length === 2 && heard(one).length === 2);
    // What is about many clients may show on each page.
    await tell(null, 'schedule.paused');
    await until('all hear', () => [all, one, other].every((got) => heard(got).at(-1)?.length === 0));
    expect([all, one, other].map(heard)).toEqual([
      ['hello', [ref('one')], []],
      ['hello', [ref('one')], []],
      ['hello', []],
    ]);
  });

  it('all draw themselves anew when more happens at once than is looked through', async () => {
    const quiet = await look(ref('quiet'));
    const entry = {
      type: 'key.stored',
      client: ref('one'),
      rotation: null,
      actor: 'test',
      reason: 'test',
      data: {},
    } as const;
    await workers.other.store.append(Array.from({ length: 501 }, () => entry));
    await until('it hears', () => heard(quiet).length > 1);
    await tell(ref('quiet'));
    await until('it hears of itself', () => heard(quiet).length > 2);
    expect(heard(quiet)).toEqual(['hello', [], [ref('quiet')]]);
  });

  it('hear nothing of what no page shows', async () => {
    const all = await look();
    for (const type of ['audit.sealed', 'api.called', 'session.started'] as const) await tell(null, type);
    await tell(ref('one'));
    await until('it hears', () => heard(all).length > 1);
    expect(heard(all)).toEqual(['hello', [ref('one')]]);
  });

  it('hear of no client that the token may not see', async () => {
    const restricted = await look(null, { only: '185019846023/other-app' });
    const all = await look();
    await tell(ref('one'));
    await until('the other hears', () => heard(all).length > 1);
    await tell(null, 'schedule.paused');
    await until('it hears', () => heard(restricted).length > 1);
    expect(heard(restricted)).toEqual(['hello', []]);
  });

  it('hear of deployments and of workers, which are in no log', async () => {
    const all = await look();
    const { store } = workers.other;
    const note = { host: 'a', pid: 1, version: '1', config: {}, reload: null, problem: null };
    await store.bePresent('w', note);
    await until('a worker has come', () => heard(all).length >= 2);
    await store.bePresent('w', { ...note, problem: 'a disk is full' });
    await until('it is not ready', () => heard(all).length >= 3);
    await store.leave('w');
    await until('it has left', () => heard(all).length >= 4);
  });

  it('share one reader, which rests when nobody looks', async () => {
    const open = await Promise.all(Array.from({ length: 20 }, () => look()));
    const before = reads;
    await until('some looks have passed', () => reads >= before + 5);
    for (const got of open) got.leave();
    await until('it rests', async () => {
      const seen = reads;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return reads === seen;
    });
    const again = await look();
    await tell(ref('one'));
    await until('it reads again', () => heard(again).length === 2);
  });

  it('are told once to ask when the store cannot be read, and once more when it can', async () => {
    const all = await look();
    fails = true;
    await tell(ref('one'));
    const before = reads;
    await until('it has failed twice', () => reads > before + 1);
    expect(heard(all)).toEqual(['hello', []]);
    fails = false;
    await until('it hears', () => heard(all).length > 2);
    expect(heard(all)).toEqual(['hello', [], []]);
  });

  it('are told, too, when the store does not answer', async () => {
    await live.close();
    live = open(100);
    const all = await look();
    hangs = true;
    await until('it is told', () => heard(all).length > 1);
    expect(heard(all)[1]).toEqual([]);
  });

  it('end with the session, and when they do not read', async () => {
    let isValid = true;
    const [ends, stays, slow] = [await look(null, { isValid: async () => isValid }), await look(), await look()];
    slow.writableLength = 1 << 20;
    isValid = false;
    await until('both have ended', () => ends.ended && slow.ended);
    expect(stays.ended).toBe(false);
  });

  it('of one token are limited in number, and all end with the server', async () => {
    const open = Array.from({ length: MOST_OF_A_VISITOR }, () => sink());
    for (const got of open) expect(live.look({ principal: ANA, client: null }, got)).toBe('listening');
    expect(live.look({ principal: ANA, client: null }, sink())).toBe('caller_full');
    expect(live.look({ principal: { ...ANA, key: 'bob' }, client: null }, sink())).toBe('listening');
    open[0]?.leave();
    expect(live.look({ principal: ANA, client: null }, sink())).toBe('listening');
    await live.close();
    expect(open.slice(1).every(({ ended }) => ended)).toBe(true);
    expect(live.look({ principal: ANA, client: null }, sink())).toBe('full');
  });
});
