/** What all workers know of the server of an app. */
import { describe, expect, it } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import { type Findings, NOTHING_KNOWN } from '../../src/core/findings.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { redisKinds } from '../support/redis.ts';
import { draft, twoStores } from './fixtures.ts';

const keys = storeKeys('rekeyd');

const APP = '1/mcp-auth';
const REF = makeReference('1', 'mcp-auth', '4711');
/** The store takes them as they are. */
const FINDINGS = { v: 1, at: 5, issuer: 'https://auth.example.com' } as unknown as Findings;

describe.each(redisKinds)('what is known of an app on %s', (kind) => {
  const workers = twoStores(kind);

  it('is nothing at first, and the same for all workers', async () => {
    expect(await workers.other.store.appFacts(APP)).toEqual(NOTHING_KNOWN);
    const since = await workers.opened.store.now();
    await workers.opened.store.noteProven(APP, 'ES256', REF);
    await workers.opened.store.noteRefusedOverlap(APP, REF);
    await workers.opened.store.noteFailedProbe(APP, 'it said:\n  "no 1"');
    const { findings, proven, refusedOverlap, failed } = await workers.other.store.appFacts(APP);
    expect([findings, proven]).toEqual([null, { ES256: { at: expect.any(Number), client: REF } }]);
    expect(refusedOverlap?.client).toBe(REF);
    expect(failed?.error).toBe('it said:\n  "no 1"');
    const until = await workers.opened.store.now();
    for (const at of [proven.ES256?.at, refusedOverlap?.at, failed?.at]) {
      expect(at).toBeGreaterThanOrEqual(since);
      expect(at).toBeLessThanOrEqual(until);
    }
    expect(await workers.other.store.appFacts('1/mcp-auth-2')).toEqual(NOTHING_KNOWN);
  });

  it('holds findings with their audit entries; of what was seen before, only that a client signed in still counts', async () => {
    const { store } = workers.opened;
    await store.noteProven(APP, 'ES256', REF);
    await store.noteRefusedOverlap(APP, REF);
    await store.noteFailedProbe(APP, 'no');
    await store.storeFindings(APP, FINDINGS, [draft(null, 'probed')]);
    expect(await workers.other.store.appFacts(APP)).toEqual({
      findings: FINDINGS,
      proven: { ES256: { at: expect.any(Number), client: REF } },
      refusedOverlap: null,
      failed: null,
    });
    expect((await store.auditTail(1))[0]).toMatchObject({ reason: 'probed', client: null });
  });

  it('has no findings where a later version has written them', async () => {
    await workers.opened.redis.hset(keys.app(APP), 'findings', JSON.stringify({ ...FINDINGS, v: 2 }));
    expect((await workers.opened.store.appFacts(APP)).findings).toBeNull();
    await workers.opened.redis.hset(keys.app(APP), 'findings', 'no JSON');
    expect((await workers.opened.store.appFacts(APP)).findings).toBeNull();
  });

  it('lets one at a time probe an app, until that one leaves or is silent for too long', async () => {
    const { store } = workers.opened;
    expect(await store.holdProbe(APP, 'a', 60_000)).toBe(0);
    const rest = await workers.other.store.holdProbe(APP, 'b', 60_000);
    expect(rest).toBeGreaterThan(50_000);
    expect(rest).toBeLessThanOrEqual(60_000);
    expect(await workers.other.store.holdProbe('1/other', 'b', 60_000)).toBe(0);
    expect(await store.holdProbe(APP, 'a', 60_000)).toBe(0);
    await workers.other.store.leaveProbe(APP, 'b');
    expect(await workers.other.store.holdProbe(APP, 'b', 60_000)).toBeGreaterThan(0);
    await store.leaveProbe(APP, 'a');
    expect(await workers.other.store.holdProbe(APP, 'b', 60_000)).toBe(0);
    // As if it had been silent.
    await workers.opened.redis.pexpire(keys.probing(APP), 1);
    await expect.poll(() => store.holdProbe(APP, 'a', 60_000)).toBe(0);
    expect(await workers.other.store.holdProbe(APP, 'b', 60_000)).toBeGreaterThan(0);
  });
});
