/** Pauses by people: one place for all workers, told in the audit log with the same script. */
import { describe, expect, it } from 'vitest';
import { type Pause, pauseEntry, type Scope, scopesOf } from '../../src/core/pause.ts';
import { redisKinds } from '../support/redis.ts';
import { ref, twoStores } from './fixtures.ts';

const CAUSE = { actor: 'cli:jane', reason: 'incident' };
const CLIENT = ref('alpha');

describe.each(redisKinds)('pauses on %s', (kind) => {
  const workers = twoStores(kind);

  const made = (scope: Scope, more: Partial<Pause> = {}): Pause => ({ scope, ...CAUSE, at: 1, until: null, ...more });
  const begin = (pause: Pause) =>
    workers.opened.store.beginPause(pause, [pauseEntry('schedule.paused', pause.scope, pause, { until: pause.until })]);
  const end = (scope: Scope, only?: Pause) =>
    workers.opened.store.endPause(scope, [pauseEntry('schedule.resumed', scope, CAUSE)], only);
  const told = async () => (await workers.other.store.auditAfter(0, 100)).map(({ type, data }) => [type, data]);

  it('are known to every worker, whole and by what covers a client', async () => {
    const pauses = [made({ all: true }, { until: 5 }), made({ app: 'dep/app' }), made({ client: CLIENT })];
    for (const pause of pauses) await begin(pause);
    expect(await workers.other.store.pauses()).toHaveLength(3);
    expect(await workers.other.store.pauses()).toEqual(expect.arrayContaining(pauses));
    const covering = await workers.other.store.pausesOf(scopesOf(CLIENT, 'payments'));
    expect(covering).toEqual([made({ all: true }, { until: 5 }), made({ client: CLIENT })]);
    expect(await workers.other.store.pausesOf(scopesOf(ref('beta'), null))).toEqual([
      made({ all: true }, { until: 5 }),
    ]);
  });

  it('are told once, and one of the same scope takes the place of the one before', async () => {
    await begin(made({ policy: 'p' }));
    await begin(made({ policy: 'p' }, { until: 9 }));
    expect(await workers.other.store.pauses()).toEqual([made({ policy: 'p' }, { until: 9 })]);
    expect(await told()).toEqual([
      ['schedule.paused', { policy: 'p', until: null }],
      ['schedule.paused', { policy: 'p', until: 9 }],
    ]);
  });

  it('end once, and nothing is told of one that there is not', async () => {
    await begin(made({ all: true }));
    expect(await end({ policy: 'p' })).toBe(false);
    expect(await end({ all: true })).toBe(true);
    expect(await end({ all: true })).toBe(false);
    expect(await workers.other.store.pauses()).toEqual([]);
    expect((await told()).map(([type]) => type)).toEqual(['schedule.paused', 'schedule.resumed']);
  });

  it('whose time was over do not end one that has taken their place', async () => {
    const old = made({ all: true }, { until: 1 });
    await begin(old);
    await begin(made({ all: true }));
    expect(await end({ all: true }, old)).toBe(false);
    expect(await workers.other.store.pauses()).toEqual([made({ all: true })]);
    expect(await end({ all: true }, made({ all: true }))).toBe(true);
  });

  it('are still there after Redis was restarted', async () => {
    await begin(made({ all: true }));
    await workers.server.kill();
    await workers.server.restart();
    expect(await workers.other.store.pauses()).toEqual([made({ all: true })]);
  });
});
