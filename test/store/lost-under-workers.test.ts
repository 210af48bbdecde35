/** A store that is emptied, replaced or rolled back while a worker runs on a schedule, and applications sign in. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { declareLoss } from '../../src/store/declare.ts';
import { readMarker } from '../../src/store/identity.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { until } from '../support/until.ts';
import { firstCommit, open, ref, snapshot } from './fixtures.ts';

const APP = { ...PEM_APP, policy: { schedule: '* * * * * *', rotate_every: '30d', overlap: '1h' } };

async function startedFleet() {
  const fleet = await startFleet({ apps: [APP], config: { http: { listen: '127.0.0.1:0' } } });
  const client = await fleet.managed(APP);
  const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  const rollBack = await snapshot(operator);
  // A job that was at work when the copy was made is at work again when that is put back, until its lock is over.
  await fleet.start({ schedule: true, http: true, lockMs: 1_000 });
  await fleet.reached(client, await fleet.rotate(client), 'active');
  const url = fleet.lines.flatMap((line) => JSON.parse(line)).find(({ msg }) => msg === 'listening').url;
  return { fleet, client, operator, rollBack, restore: await snapshot(operator), url };
}

const DAMAGES = ['emptied', 'replaced', 'rolled back'] as const;

async function damage(how: (typeof DAMAGES)[number], fleet: Fleet, operator: Redis, rollBack: () => Promise<void>) {
  if (how === 'rolled back') return rollBack();
  await operator.flushall();
  if (how === 'emptied') return;
  const other = await open(fleet.redis.socketPath);
  await other.store.commit(firstCommit(ref('theirs')));
  await other.close();
}

const readiness = async (url: string) => {
  const answer = await fetch(`${url}/readyz`);
  return { status: answer.status, detail: JSON.stringify(await answer.json()) };
};

/** Jobs that ended because this is not the store that was there before. */
const refusals = ({ lines }: Fleet) =>
  lines.filter((line) => /"msg":"job failed"/.test(line) && line.includes('store declare-loss')).length;

/** What a person is told of the loss. A store that is replaced may have been seen empty before. */
const errorsOf = ({ lines }: Fleet): readonly string[] =>
  lines
    .map((line) => JSON.parse(line))
    .filter(({ level, error }) => level === 'error' && /declare-loss/.test(error))
    .map(({ error }) => error);

/** What would change if something were adopted, delivered or sent. */
async function everythingOutside(fleet: Fleet, client: FleetClient, operator: Redis) {
  const kept = (await operator.keys('{rekeyd}:store:*')).sort();
  const records = await Promise.all(kept.filter((key) => key.includes(':client:')).map((key) => operator.hgetall(key)));
  return {
    kept,
    records,
    delivered: await readFile(join(client.folder, 'meta.json'), 'utf8'),
    sent: fleet.emulator.log.filter(({ method }) => method !== 'GET' && method !== 'POST').length,
  };
}

test.each(DAMAGES)(
  'a store that is %s: nothing is adopted, delivered or sent, and readiness says both ways on',
  async (how) => {
    const { fleet, client, operator, rollBack, restore, url } = await startedFleet();
    const logins = await startLogins(client, fleet);
    expect((await readiness(url)).status).toBe(200);
    await logins.more(5);

    await damage(how, fleet, operator, rollBack);
    const left = await everythingOutside(fleet, client, operator);
    await until('readiness is red', async (saw) => saw(await readiness(url)).status === 503);
    const { detail } = await readiness(url);
    expect(detail).toContain('Restore the backup of Redis');
    expect(detail).toContain('`rekeyd store declare-loss`');
    // Sweeps, lists and upkeep go on to be tried, and one client more is there to be found.
    await fleet.foreign(APP);
    const before = refusals(fleet);
    await until('they are refused', (saw) => saw(refusals(fleet)) >= before + 5);
    const errors = errorsOf(fleet);
    expect(errors.length).toBeGreaterThan(0);
    expect(new Set(errors).size).toBe(errors.length);
    expect(await everythingOutside(fleet, client, operator)).toEqual(left);
    await logins.more(20);
    expect(logins.refused).toEqual([]);

    await restore();
    await until('readiness is green', async (saw) => saw(await readiness(url)).status === 200);
    await fleet.reached(client, await fleet.rotate(client), 'active');
    await logins.more(5);
    expect(logins.refused).toEqual([]);
  },
);

test('after the loss is declared, clients are found again, and no application is locked out', async () => {
  const { fleet, client, operator, url } = await startedFleet();
  const logins = await startLogins(client, fleet);
  await operator.flushall();
  await until('readiness is red', async (saw) => saw(await readiness(url)).status === 503);
  const dataDir = join(fleet.dir, 'data');
  const cause = { actor: 'test', reason: 'the disk is gone' };
  const id = await declareLoss(operator, fleet.resources.store.keys, dataDir, await readMarker(dataDir), cause);
  await until('readiness is green', async (saw) => saw(await readiness(url)).status === 200);
  await until('the client is found again', () => fleet.record(client).catch(() => null));
  expect(fleet.resources.store.id).toBe(id);
  expect(await fleet.record(client)).toMatchObject({ enrolment: 'found', keys: [], rotation: null });
  const meta = JSON.parse(await readFile(join(client.folder, 'meta.json'), 'utf8'));
  expect(meta.current).not.toBeNull();
  await logins.more(20);
  expect(logins.refused).toEqual([]);
  expect((await fleet.audit())[0]).toMatchObject({ type: 'store.segment', seq: 1, data: { why: 'is empty' } });
});

test('after the loss of an emptied store is declared, clients are found again without waiting for the schedule', async () => {
  const app = { ...PEM_APP, policy: { schedule: '0 0 1 1 *' } };
  const fleet = await startFleet({ apps: [app], config: { http: { listen: '127.0.0.1:0' } } });
  const client = await fleet.foreign(app);
  const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  await fleet.start({ schedule: true });
  const isKnown = () => fleet.record(client).catch(() => null);
  await until('the client is found', isKnown);
  await until('its store is known', async () => ((await readMarker(join(fleet.dir, 'data')))?.clients ?? 0) === 1);
  await operator.flushall();
  await until('the loss is noticed', () =>
    fleet.lines.some((line) => line.includes('the store cannot be worked with')),
  );
  const dataDir = join(fleet.dir, 'data');
  await declareLoss(operator, fleet.resources.store.keys, dataDir, await readMarker(dataDir), {
    actor: 'test',
    reason: 'the disk is gone',
  });
  await until('the client is found again', isKnown);
});
