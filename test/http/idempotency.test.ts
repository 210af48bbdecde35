/** What stands under a caller's `Idempotency-Key`, with a real Redis. */
import { describe, expect, it } from 'vitest';
import { onceFor } from '../../src/http/idempotency.ts';
import type { Principal } from '../../src/http/principal.ts';
import { twoStores } from '../store/fixtures.ts';
import { redisKinds } from '../support/redis.ts';

describe(`an Idempotency-Key on ${redisKinds[0]}`, () => {
  const workers = twoStores(redisKinds[0] ?? 'redis');
  const principal: Principal = {
    claimedBy: 'token:siem',
    key: 'a hash',
    scopes: ['rotate'],
    only: null,
    isValid: async () => true,
  };
  const once = (body: object) => onceFor(workers.opened.store, principal, 'daily', body);

  it('stands for one request until it expires, and for another one after that', async () => {
    const first = await once({ reason: 'today' });
    expect(await first.keep({ rotations: ['today'] })).toEqual({ rotations: ['today'] });
    expect(await once({ reason: 'today' })).toMatchObject({
      request: first.request,
      answer: { rotations: ['today'] },
    });
    await expect(once({ reason: 'tomorrow' })).rejects.toMatchObject({ problem: { status: 422 } });
    // As if its time had passed. The answer came later, and is kept for longer.
    const { redis } = workers.opened;
    for (const key of await redis.keys('*:idempotent:*')) if (!key.endsWith(':answer')) await redis.del(key);
    const next = await once({ reason: 'tomorrow' });
    expect(next.answer).toBe(null);
    expect(next.request).not.toBe(first.request);
  });
});
