/** One more worker that begins, or goes on, at the worst moment. Each has a `data_dir` of its own, and all share the key folders. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { LOCK_MS, NEXT_LOCK_MS } from '../support/killing.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';
import { isStopped, startWorker } from '../support/worker-process.ts';

/** On another machine, with the key folders of this one. */
function elsewhere(fleet: Fleet, name: string): Readonly<Record<string, unknown>> {
  const sinks = [{ kind: 'directory', path: join(fleet.dir, 'data', 'keys') }];
  return { ...fleet.file, sinks, data_dir: join(fleet.dir, name) };
}

async function delivered(fleet: Fleet): Promise<number> {
  return (await fleet.audit()).filter(({ type }) => type === 'key.delivered').length;
}

test('a replica that starts in the middle of a cutover neither sends nor delivers anything', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(PEM_APP);
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const match = { path: /introspect/ };
  const first = await fleet.start();
  // The issuer answers before the cutover; the proof after it is held up.
  const hold = fleet.emulator.faults.add({ kind: 'hold', until: promise, when: 'before', match, skip: 1 });
  const rotation = await fleet.rotate(client);
  await until('the proof is under way', (saw) => saw(hold.fired) === 1);
  const logins = await startLogins(client, fleet);
  const before = await delivered(fleet);
  const { upkeep } = fleet.queues;
  const ended = await upkeep.getCompletedCount();
  await fleet.start({}, await fleet.configOf(elsewhere(fleet, 'replica')));
  await until('it has looked at everything', async (saw) => saw(await upkeep.getCompletedCount()) > ended + 2);
  await logins.more(3);
  expect(await delivered(fleet)).toBe(before);
  expect(fleet.patches(client)).toHaveLength(1);

  answer();
  await first.stop();
  await fleet.reached(client, rotation);
  await fleet.reached(client, await fleet.rotate(client));
  expect((await logins.stop()).refused).toEqual([]);
  expect(fleet.patches(client)).toHaveLength(2);
  await expectSound(fleet, [client]);
});

test.each(['deliver:before effect 1', 'patch:intent:after commit 0'])(
  'a replica that stood still at %s for a whole rotation leaves the next one as it is',
  async (point) => {
    // The next worker waits that long for the PATCH of the one that stands still.
    const fleet = await startFleet({ apps: [PEM_APP], deployment: { timeout: '3s' } });
    const client = await fleet.managed(PEM_APP);
    const stopAt = { [client.ref]: point };
    const order = { stopAt, lockMs: LOCK_MS, signal: 'SIGSTOP' } as const;
    const sleeper = await startWorker(fleet, elsewhere(fleet, 'sleeper'), order);
    const rotation = await fleet.rotate(client);
    await until('it stands still', () => isStopped(sleeper));
    const logins = await startLogins(client, { ...fleet, everyMs: 50 });
    const others = await fleet.start({ lockMs: NEXT_LOCK_MS });
    await fleet.reached(client, rotation);
    const { kid } = await fleet.reached(client, await fleet.rotate(client));
    await others.stop();
    const patches = fleet.patches(client).length;

    sleeper.kill('SIGCONT');
    const last = await fleet.reached(client, await fleet.rotate(client));
    expect(last.replaces).toBe(kid);
    // The run that stood still may take the client from the new one, which then sends its document once more.
    const bodies = fleet
      .patches(client)
      .slice(patches)
      .map(({ body }) => JSON.stringify(body));
    expect(new Set(bodies).size).toBe(1);
    await logins.more(2);
    expect((await logins.stop()).refused).toEqual([]);
    await expectSound(fleet, [client]);
  },
);
