/** Drift that a person decides about on the page: with the document that was shown, through the ordinary loop, and with its entries. */
import { expect, test } from 'vitest';
import { reconcile } from '../../../jobs/reconcile.ts';
import { keksOf } from '../../../src/rotation/policy.ts';
import { makeKey, withPem } from '../../emulator/testing.ts';
import { makeToken } from '../../support/api.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, startFleet } from '../../support/fleet.ts';
import { formIn, signedIn, wordsOf } from '../../support/page.ts';
import { until } from '../../support/until.ts';

const [THEIRS, ANOTHER] = [makeKey('ES256'), makeKey('ES256')];
const BY = { actor: 'token:ada', claimed_by: 'token:ada' };

function publish({ emulator }: Fleet, { app, id }: FleetClient, ...keys: readonly object[]): void {
  emulator.edit(DEPLOYMENT, app.slug, id, { jwks: { keys } });
}

function kidsOn({ emulator }: Fleet, { app, id }: FleetClient) {
  return emulator.client(DEPLOYMENT, app.slug, id).jwks?.keys.map(({ kid }) => kid) ?? [];
}

test('what the server shows is accepted as it was shown, or ours is put back, and both are told of', async () => {
  const config = { http: { listen: '127.0.0.1:0' }, reconcile_every: '1h' };
  const fleet = await startFleet({ apps: [KID_APP], config });
  const [one, other] = [await fleet.managed(KID_APP), await fleet.managed(KID_APP)];
  const { url } = await fleet.start({ http: true });
  const ada = await signedIn(url ?? '', await makeToken(fleet, { name: 'ada' }));
  const reader = await signedIn(url ?? '', await makeToken(fleet, { name: 'reads', scopes: ['read'] }));
  const { resources, queues } = fleet;
  const context = { resources, queues, keks: keksOf(fleet.config), log: resources.log, lockMs: 30_000 };
  const [accept, repair] = [`/clients/${one.ref}/accept-drift`, `/clients/${other.ref}/repair-drift`];
  const drifts = async ({ ref }: FleetClient) => (await resources.store.load(ref))?.record.drift !== undefined;
  const decisions = async () =>
    (await fleet.audit()).filter(({ type }) => type === 'drift.accepted' || type === 'drift.repairing');

  const calm = await ada.get(`/clients/${one.ref}`);
  expect(() => formIn(calm.text, accept)).toThrow('no form');
  for (const client of [one, other]) publish(fleet, client, withPem(client.key), withPem(THEIRS));
  await reconcile(context);
  const shown = await ada.get(`/clients/${one.ref}`);
  const fields = { ...formIn(shown.text, accept), reason: 'a second region <b>' };
  expect(() => formIn(wordsOf(shown.text), accept)).toThrow('no form');
  const seen = await reader.get(`/clients/${one.ref}`);
  expect(wordsOf(seen.text)).toContain('It has drifted');
  expect(() => formIn(seen.text, accept)).toThrow('no form');

  // A list that cannot be read, or shows something else than the page did, decides nothing.
  const list = { method: 'GET', path: /clients$/ };
  fleet.emulator.faults.add({ kind: 'status', status: 500, match: list, times: Number.POSITIVE_INFINITY });
  const unread = await ada.post(accept, fields);
  expect([unread.status, wordsOf(unread.text)]).toEqual([422, expect.stringContaining('could not be read from')]);
  fleet.emulator.faults.clear();
  publish(fleet, one, withPem(one.key), withPem(THEIRS), withPem(ANOTHER));
  const changed = await ada.post(accept, fields);
  expect([changed.status, wordsOf(changed.text)]).toEqual([422, expect.stringContaining('something else by now')]);
  expect(await decisions()).toEqual([]);

  await reconcile(context);
  const taken = await ada.send(`/clients/${one.ref}`, accept, { reason: 'a second region <b>' });
  expect(wordsOf((await ada.follow(taken)).text)).toContain('What the server shows is accepted.');
  expect(await drifts(one)).toBe(false);
  expect(kidsOn(fleet, one)).toEqual([one.key.kid, THEIRS.kid, ANOTHER.kid]);

  const page = await ada.get(`/clients/${other.ref}`);
  expect(page.text).toContain(`name="drop" type="checkbox" value="${THEIRS.kid}"`);
  const repaired = formIn(page.text, repair);
  const [first, again] = await Promise.all(
    [1, 2].map(() => ada.post(repair, { ...repaired, drop: THEIRS.kid ?? '', reason: 'nobody knows it' })),
  );
  expect([first?.status, again?.status]).toEqual([303, 303]);
  await until('ours is published', (saw) => saw(kidsOn(fleet, other)).length === 1);
  expect(kidsOn(fleet, other)).toEqual([other.key.kid]);
  expect(await decisions()).toMatchObject([
    { type: 'drift.accepted', client: one.ref, ...BY, reason: 'a second region <b>' },
    { type: 'drift.repairing', client: other.ref, ...BY, reason: 'nobody knows it' },
  ]);
});
