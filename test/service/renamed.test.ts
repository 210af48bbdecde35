/** A deployment, app or policy that has another name in the config than before is noticed and named. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { discover } from '../../jobs/discover.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetApp, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { importingAll } from '../support/importing.ts';
import { until } from '../support/until.ts';

/** New clients would be rotated at once. */
const EAGER: FleetApp = { ...PEM_APP, policy: { schedule: '* * * * * *', adopt: 'take_over', rotate_every: '30d' } };

function told({ lines }: Fleet, what: string): readonly Record<string, unknown>[] {
  return lines.map((line) => JSON.parse(line)).filter(({ msg }) => String(msg).includes(what));
}

const RENAMED = 'has another name in the config than before';

/** The same server, at which the config names the deployment differently: with `url_style: flat` that is only a name. */
function renamedDeployment({ file }: Fleet, id: string): Fleet['file'] {
  const [deployment] = Object(file.deployments);
  return { ...file, deployments: [{ ...deployment, id, url_style: 'flat' }] };
}

test('clients of a renamed deployment are neither found anew nor rotated, and the start names both', async () => {
  const fleet = await startFleet({ apps: [EAGER] });
  const clients = [await fleet.managed(EAGER), await fleet.managed(EAGER)];
  const stranger = await fleet.foreign(EAGER);
  const before = await Promise.all(clients.map(fleet.record));
  const config = await fleet.configOf(renamedDeployment(fleet, 'prod'));
  const service = await fleet.start({ schedule: true }, config);
  const place = `${DEPLOYMENT}/${EAGER.slug}`;
  expect(told(fleet, 'does not name this app any more')).toMatchObject([{ level: 'warn', app: place, clients: 2 }]);
  const [warning] = told(fleet, RENAMED);
  expect(warning).toMatchObject({ level: 'warn', app: `prod/${EAGER.slug}`, before: place, clients: 2 });
  expect(clients.map(({ ref }) => `${ref}`)).toContain(warning?.example);
  // The one client that is new is found, as on any first start.
  await until(
    'the new one is taken in',
    async () => (await fleet.resources.store.appCount(`prod/${EAGER.slug}`)) === 1,
  );
  await service.stop();
  expect(await fleet.resources.store.appRefs(`prod/${EAGER.slug}`, 10, null)).toEqual([
    `prod/${EAGER.slug}/${stranger.id}`,
  ]);
  expect(clients.flatMap((client) => fleet.patches(client))).toEqual([]);
  expect(await Promise.all(clients.map(fleet.record))).toEqual(before);
});

test.each([{}, { compromised: true, confirm: true }])(
  'a request %o for the app under its new name leaves them alone, and says why',
  async (more) => {
    const fleet = await startFleet({ apps: [PEM_APP] });
    const client = await fleet.managed(PEM_APP);
    const stranger = await fleet.foreign(PEM_APP);
    const before = await fleet.record(client);
    const service = await fleet.start({}, await fleet.configOf(renamedDeployment(fleet, 'prod')));
    const app = `prod/${PEM_APP.slug}`;
    const { rotations, errors } = await fleet.request({ select: { app }, take_over: true, ...more });
    expect(rotations).toMatchObject([{ client: `${app}/${stranger.id}` }]);
    const why = expect.stringContaining(`is the client that is known as ${client.ref}`);
    expect(errors).toEqual([{ client: `${app}/${client.id}`, message: why }]);
    await service.stop();
    expect(fleet.patches(client)).toEqual([]);
    expect(await fleet.record(client)).toEqual(before);
  },
);

test('a request for such a client by its new name leaves it alone, too, unless its key leaked', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const service = await fleet.start({}, await fleet.configOf(renamedDeployment(fleet, 'prod')));
  const ref = `prod/${PEM_APP.slug}/${client.id}`;
  const request = { select: { clients: [ref] }, take_over: true };
  const why = expect.stringContaining(`is the client that is known as ${client.ref}`);
  expect(await fleet.request(request)).toMatchObject({ rotations: [], errors: [{ client: ref, message: why }] });
  expect(fleet.patches(client), 'its application still signs in').toEqual([]);
  // A leaked key is replaced nevertheless, and the answer says that the application has to take the new one.
  const { rotations, taken_over } = await fleet.request({ ...request, take_over: false, compromised: true });
  expect([rotations, taken_over]).toMatchObject([[{ client: ref }], [{ client: ref, enrolment: 'found' }]]);
  await service.stop();
});

test('a client that was only offered a key is not found anew either', async () => {
  const app: FleetApp = { ...KID_APP, policy: { strategy: 'overlap', adopt: 'overlap' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.foreign(app);
  const first = await fleet.start({ schedule: true });
  await until(
    'a key is offered',
    async () => (await fleet.resources.store.load(client.ref))?.record.rotation?.phase.name === 'offered',
  );
  await first.stop();
  const patches = fleet.patches(client).length;
  const config = await fleet.configOf(renamedDeployment(fleet, 'prod'));
  const service = await fleet.start({ schedule: true }, config);
  // A look at the lists is asked for by hand: the one of the start may be the same job as the first start's.
  await discover({ v: 1, policy: app.slug, slot: 'by hand' }, contextOf({ ...fleet, resources: service.resources }));
  await service.stop();
  expect(told(fleet, RENAMED)).toMatchObject([{ app: `prod/${app.slug}`, example: client.ref }]);
  expect(await fleet.resources.store.appCount(`prod/${app.slug}`)).toBe(0);
  expect(fleet.patches(client)).toHaveLength(patches);
});

test('their keys are taken over from their old folders under the new name', async () => {
  const app: FleetApp = PEM_APP;
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  const config = await fleet.configOf(renamedDeployment(fleet, 'prod'));
  const service = await fleet.start({}, config);
  const { resources } = service;
  const report = await importingAll({ resources, config }, join(fleet.dir, 'data', 'keys'), { enroll: true });
  const ref = `prod/${app.slug}/${client.id}`;
  expect(report.rows).toMatchObject([{ client: ref, outcome: 'imported', kid: client.key.kid, enrolment: 'enrolled' }]);
  // Run again, it finds two folders of the client, and takes the one of its present name.
  const again = await importingAll({ resources, config }, join(fleet.dir, 'data', 'keys'));
  expect(again.rows).toMatchObject([{ client: ref, file: `${ref}/current.jwk.json`, outcome: 'active' }]);
  await service.stop();
  fleet.lines.length = 0;
  await (await fleet.start({ schedule: true }, config)).stop();
  expect(told(fleet, RENAMED)).toEqual([]);
});

test('an app that was renamed at the server and in the config is named, too', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  fleet.emulator.addApp({ deployment: DEPLOYMENT, slug: 'new-name', selection: 'first_pem' });
  const { emulator, file } = fleet;
  emulator.restoreClient(DEPLOYMENT, 'new-name', emulator.client(DEPLOYMENT, PEM_APP.slug, client.id));
  const [deployment] = Object(file.deployments);
  const apps = [{ ...deployment.apps[0], slug: 'new-name' }];
  const config = await fleet.configOf({ ...file, deployments: [{ ...deployment, apps }] });
  const service = await fleet.start({ schedule: true }, config);
  await until('the list was looked through', async () =>
    (await fleet.queues.upkeep.getCompleted()).some(({ name }) => name === 'discover'),
  );
  await service.stop();
  expect(told(fleet, RENAMED)).toMatchObject([
    { app: `${DEPLOYMENT}/new-name`, before: `${DEPLOYMENT}/${PEM_APP.slug}` },
  ]);
  expect(await fleet.resources.store.appCount(`${DEPLOYMENT}/new-name`)).toBe(0);
});

test('a policy that was renamed is named, and nothing else comes of it', async () => {
  const app: FleetApp = { ...PEM_APP, policy: { schedule: '* * * * * *' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await (await fleet.start({ schedule: true })).stop();
  const record = await fleet.record(client);
  const text = JSON.stringify(fleet.file);
  const { policies, ...rest } = JSON.parse(text.replaceAll(`"policy":"${app.slug}"`, '"policy":"payments"'));
  const config = await fleet.configOf({ ...rest, policies: { payments: policies[app.slug] } });
  await (await fleet.start({ schedule: true }, config)).stop();
  const named = { app: `${DEPLOYMENT}/${app.slug}`, before: [app.slug], now: ['payments'] };
  expect(told(fleet, 'policies were renamed or removed')).toMatchObject([named]);
  expect(await fleet.record(client)).toEqual(record);
  await (await fleet.start({ schedule: true }, config)).stop();
  expect(told(fleet, 'policies were renamed or removed')).toHaveLength(1);
});
