/** Pauses by people: one place for all workers, told in the audit log with the same script. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Pause, pauseEntry, type Scope, scopesOf } from '../../src/core/pause.ts';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { type OpenedStore, open, openEmpty, ref } from './fixtures.ts';

const CAUSE = { actor: 'cli:jane', reason: 'incident' };
const CLIENT = ref('alpha');

describe.each(redisKinds)('pauses on %s', (kind) => {
  let server: RedisServer;
  let opened: OpenedStore;
  let other: OpenedStore;

  beforeAll(async () => {
    server = await startRedis({ kind });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    opened = await openEmpty(server.socketPath);
    other = await open(server.socketPath);
  });
  afterEach(async () => {
    await opened.close();
    await other.close();
  });

  const made = (scope: Scope, more: Partial<Pause> = {}): Pause => ({ scope, ...CAUSE, at: 1, until: null, ...more });
  const begin = (pause: Pause) =>
    opened.store.beginPause(pause, [pauseEntry('schedule.paused', pause.scope, pause, { until: pause.until })]);
  const end = (scope: Scope, only?: Pause) =>
    opened.store.endPause(scope, [pauseEntry('schedule.resumed', scope, CAUSE)], only);
  const told = async () => (await other.store.auditAfter(0, 100)).map(({ type, data }) => [type, data]);

  it('are known to every worker, whole and by what covers a client', async () => {
    const pauses = [made({ all: true }, { until: 5 }), made({ app: 'dep/app' }), made({ client: CLIENT })];
    for (const pause of pauses) await begin(pause);
    expect(await other.store.pauses()).toHaveLength(3);
    expect(await other.store.pauses()).toEqual(expect.arrayContaining(pauses));
    const covering = await other.store.pausesOf(scopesOf(CLIENT, 'payments'));
    expect(covering).toEqual([made({ all: true }, { until: 5 }), made({ client: CLIENT })]);
    expect(await other.store.pausesOf(scopesOf(ref('beta'), null))).toEqual([made({ all: true }, { until: 5 })]);
  });

  it('are told once, and one of the same scope takes the place of the one before', async () => {
    await begin(made({ policy: 'p' }));
    await begin(made({ policy: 'p' }, { until: 9 }));
    expect(await other.store.pauses()).toEqual([made({ policy: 'p' }, { until: 9 })]);
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
    expect(await other.store.pauses()).toEqual([]);
    expect((await told()).map(([type]) => type)).toEqual(['schedule.paused', 'schedule.resumed']);
  });

  it('whose time was over do not end one that has taken their place', async () => {
    const old = made({ all: true }, { until: 1 });
    await begin(old);
    await begin(made({ all: true }));
    expect(await end({ all: true }, old)).toBe(false);
    expect(await other.store.pauses()).toEqual([made({ all: true })]);
    expect(await end({ all: true }, made({ all: true }))).toBe(true);
  });

  it('are still there after Redis was restarted', async () => {
    await begin(made({ all: true }));
    await server.kill();
    await server.restart();
    expect(await other.store.pauses()).toEqual([made({ all: true })]);
  });
});
