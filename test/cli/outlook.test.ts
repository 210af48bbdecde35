/** What the commands say of a config whose policies cannot be met. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documentOf, openWorld, type World } from './fixture.ts';

interface Shown {
  readonly code: string;
  readonly path: string;
  readonly message: string;
}

const FINE = { schedule: '0 3 * * *', overlap: '10m' };

let world: World;
beforeAll(async () => {
  world = await openWorld({}, { rate_limit: { max: 1, per: '10d' } });
  world.addClient('pem-app');
  world.addClient('kid-app');
  world.addClient('kid-app');
});
afterAll(() => world.close());

const placesOf = (warnings: readonly Shown[]) => warnings.map(({ code, path }) => `${code} ${path}`).sort();

test('plan warns of what the rate limit, the windows and the schedule make impossible, and says how long a fleet takes', async () => {
  const policies = {
    'pem-app': { ...FINE, windows: ['Mon-Thu 02:00-05:00'] },
    'kid-app': { ...FINE, strategy: 'overlap', schedule: '0 3 1 1 *' },
  };
  const file = await world.writeConfig({ ...world.config, policies }, 'impossible.yaml');
  const [listed, told] = await Promise.all([
    world.run(['plan', '--take-over', '--json', '--config', file]),
    world.run(['plan', '--config', file]),
  ]);
  expect([listed.code, told.code], listed.stderr).toEqual([0, 0]);
  const { warnings, deployments, clients } = documentOf(listed);
  expect(placesOf(warnings)).toEqual([
    'rate_limit_too_low deployments[0].rate_limit',
    'sweeps_too_rare policies.kid-app.schedule',
    'window_too_short policies.pem-app.windows',
  ]);
  // Two calls for one key at a time, four for an overlap, ten days each.
  const days = 86_400;
  expect(deployments).toEqual([
    {
      deployment: '185019846023',
      clients: 3,
      enrolled: 0,
      load: expect.closeTo(10 / 3),
      rotate_all_seconds: 100 * days,
      compromise_all_seconds: 60 * days,
    },
  ]);
  for (const { path, message } of warnings) expect(told.stderr).toContain(`warning: ${path}: ${message}.\n`);
  expect(told.stderr).toMatch(
    /3 clients, 0 enrolled\. Were all enrolled: at its rate limit rotated in 100 d, and after a compromise in 60 d/,
  );
  const overlapping = clients.filter(({ strategy }: { strategy: string }) => strategy === 'overlap');
  expect(overlapping.map(({ warnings: own }: { warnings: string[] }) => own)).toEqual([
    [expect.stringMatching(/^1 published key was not made by rekeyd/)],
    [expect.stringMatching(/^1 published key was not made by rekeyd/)],
  ]);
});

test('config check and doctor warn of what shows without a list of clients, and of nothing where all is well', async () => {
  const file = await world.writeConfig(
    { ...world.config, policies: { 'pem-app': FINE, 'kid-app': { ...FINE, splay: '20d', prove: 'read_back' } } },
    'doubtful.yaml',
  );
  const well = await world.writeConfig(
    { ...world.config, policies: { 'pem-app': FINE, 'kid-app': FINE } },
    'well.yaml',
  );
  const [checked, doctor, fine] = await Promise.all([
    world.run(['config', 'check', '--json', '--config', file]),
    world.run(['doctor', '--json', '--config', file]),
    world.run(['config', 'check', '--json', '--config', well]),
  ]);
  const paths = ['policies.kid-app.splay', 'policies.kid-app.prove'];
  expect(documentOf(checked).warnings.map(({ path }: Shown) => path)).toEqual(paths);
  const checks = documentOf(doctor).checks.filter(({ name }: { name: string }) => name.startsWith('policy '));
  expect(checks.map(({ name, ok }: { name: string; ok: boolean }) => [name, ok])).toEqual(
    paths.map((path) => [`policy ${path}`, true]),
  );
  expect(documentOf(fine).warnings).toEqual([]);
});

test('plan names what stands in the way of a client without keys, and plans the others that are named', async () => {
  const good = world.addClient('pem-app');
  const members = { deployment: '185019846023', app: 'pem-app', client_auth_method: 'client_secret_basic' };
  const secret = `185019846023/pem-app/${world.emulator.addClient(members).id}`;
  const [named, told] = await Promise.all([
    world.run(['plan', good.ref, secret, '--take-over', '--json']),
    world.run(['plan', secret]),
  ]);
  expect([named.code, told.code]).toEqual([1, 1]);
  const { clients, errors } = documentOf(named);
  expect(clients).toMatchObject([{ client: good.ref, strategy: 'cutover' }]);
  const message = expect.stringContaining('authenticates with client_secret_basic: only private_key_jwt has keys');
  expect(errors).toEqual([{ client: secret, message }]);
  expect(told.stderr).toMatch(/authenticates with client_secret_basic/);
});
