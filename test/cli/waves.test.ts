/** A wave that stopped, as the commands show it and resume it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { documentOf, openWorld, type Running, type World } from './fixture.ts';

let world: World;
let service: Running;
beforeAll(async () => {
  // EdDSA: nobody was seen to sign in with it, so no key is made.
  const quick = { schedule: '0 0 1 1 *', propagation: '0ms', overlap: '200ms' };
  const cohort = { first: '50%', then: '0s' };
  world = await openWorld({ policies: { 'pem-app': { ...quick, alg: 'EdDSA', cohort }, 'kid-app': quick } });
  for (const _ of [1, 2]) await world.enrolledClient('pem-app');
  service = await world.start('--no-http');
});
afterAll(() => world.close());

const statusNow = async () => documentOf(await world.run(['status', '--json']));

test('status shows why it stopped and what to do, and resume goes on with the rest', async () => {
  await until('it stops', async (saw) => saw(await statusNow()).waves[0]?.phase === 'stopped');
  expect((await statusNow()).waves).toMatchObject([
    {
      policy: 'pem-app',
      clients: 2,
      first: 1,
      waiting: 0,
      active: 0,
      failed: 1,
      stopped: expect.stringMatching(/failed/),
    },
  ]);
  const shown = await world.run(['status']);
  expect(shown.stdout).toMatch(
    /^STOPPED {2}policy pem-app: 1 of 1 rotations .*`rekeyd resume --policy pem-app` goes on/m,
  );
  expect(service.stderr()).toContain('rekeyd resume --policy pem-app');

  const resumed = await world.run(['resume', '--policy', 'pem-app', '--reason', 'seen', '--json']);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(documentOf(resumed).resumed).toEqual([
    { policy: 'pem-app', was_paused: false, was_stopped: true, still_paused_by: null },
  ]);
  await until('the rest is rotated too', async () => {
    const entries = documentOf(await world.run(['audit', 'tail', '-n', '1000', '--json']));
    const tried = entries.filter(({ type }: { type: string }) => type === 'rotation.failed');
    return new Set(tried.map(({ client }: { client: string }) => client)).size === 2;
  });
});

test('resume of a policy that did not stop says so, and of one that does not exist is refused', async () => {
  const [calm, unknown] = await Promise.all(
    ['default', 'nonsense'].map((policy) => world.run(['resume', '--policy', policy])),
  );
  expect([calm?.code, unknown?.code]).toEqual([0, 2]);
  expect(calm?.stdout).toContain('There is no pause of all clients of policy default, and its wave did not stop');
  expect(unknown?.stderr).toContain('The config has no policy "nonsense"');
});
