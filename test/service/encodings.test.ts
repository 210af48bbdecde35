/** A key is recognised in every form in which a server shows it, and under every name. */
import { createPublicKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { goodClaims, introspect, makeKey, sign, type TestKey, withPem } from '../emulator/testing.ts';
import { formsOf } from '../keys/forms.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, startFleet } from '../support/fleet.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const APP = { ...KID_APP, policy: { ...KID_APP.policy, format: 'jwks', modulus_length: 2048 } };
const HOST = `${APP.slug}.example.com`;

function publicKeyOf({ privateKey }: TestKey) {
  return createPublicKey(privateKey);
}

/** The key as an entry under that name, in another form than the JWK that everybody writes. */
function disguised(key: TestKey, what: string, kid: string): object {
  const form = formsOf(publicKeyOf(key)).find((one) => one.what === what);
  if (form === undefined) throw new Error(`there is no form ${what}`);
  return { ...form.jwk, kid };
}

function kidsOn({ emulator }: Fleet, { id }: FleetClient): readonly unknown[] {
  return emulator.client(DEPLOYMENT, APP.slug, id).jwks?.keys.map(({ kid }) => kid) ?? [];
}

async function signsIn({ emulator }: Fleet, { clientId }: FleetClient, key: TestKey, kid: string): Promise<boolean> {
  const assertion = await sign(key, goodClaims(clientId, HOST, '/oauth/introspect'), { kid });
  return (await introspect(emulator, HOST, clientId, assertion)).status === 200;
}

const NAMES = { RS256: formsOf(publicKeyOf(makeKey('RS256'))), ES256: formsOf(publicKeyOf(makeKey('ES256'))) };

test.each(['RS256', 'ES256'] as const)(
  'a key is imported in every form that a server shows, and replaced: %s',
  async (alg) => {
    const fleet = await startFleet({ apps: [APP] });
    const forms = NAMES[alg].map(({ what }) => what);
    const clients: FleetClient[] = [];
    for (const what of forms) {
      const members = (key: TestKey) => ({ jwks: { keys: [disguised(key, what, 'theirs')] } });
      clients.push(await fleet.managed(APP, { alg, members }));
    }
    await fleet.start();
    const { rotations, errors } = await fleet.request({
      select: { app: `${DEPLOYMENT}/${APP.slug}` },
      compromised: true,
      confirm: true,
    });
    expect(errors).toBeUndefined();
    for (const [index, client] of clients.entries()) {
      const rotation = rotations.find(({ client: ref }) => ref === client.ref)?.id ?? '';
      const { kid, replaces } = await fleet.reached(client, rotation);
      expect(replaces, forms[index]).toBe('theirs');
      expect(kidsOn(fleet, client), forms[index]).toEqual([kid]);
    }
    await expectSound(fleet, clients);
  },
);

test('a compromised key goes under every name, is refused under each, and does not come back in another form', async () => {
  const fleet = await startFleet({ apps: [APP], config: { reconcile_every: '200ms' } });
  const other = makeKey('ES256');
  const members = (key: TestKey) => ({
    jwks: {
      keys: [{ ...withPem(key), kid: 'first' }, disguised(key, 'compressed point', 'second'), withPem(other)],
    },
  });
  const client = await fleet.managed(APP, { members });
  for (const kid of ['first', 'second']) expect(await signsIn(fleet, client, client.key, kid)).toBe(true);
  await fleet.start();
  const rotation = await fleet.rotate(client, { compromised: { kid: 'first' } });
  const { kid } = await fleet.reached(client, rotation);
  expect(kidsOn(fleet, client)).toEqual([kid, other.kid]);
  const proven = (await fleet.audit()).filter(({ type, data }) => type === 'key.proven' && data.expected === 'refused');
  expect(proven.map(({ data }) => [data.kid, data.name])).toEqual([
    ['first', 'first'],
    ['first', 'second'],
  ]);

  const { jwks } = fleet.emulator.client(DEPLOYMENT, APP.slug, client.id);
  const keys = [disguised(client.key, 'curve written out', 'third'), ...(jwks?.keys ?? [])];
  fleet.emulator.edit(DEPLOYMENT, APP.slug, client.id, { jwks: { keys } });
  await until('it is gone again', () => !kidsOn(fleet, client).includes('third'));
  expect(kidsOn(fleet, client)).toEqual([kid, other.kid]);
  expect(await signsIn(fleet, client, client.key, 'third')).toBe(false);
  expect(await signsIn(fleet, client, other, other.kid)).toBe(true);
  await expectSound(fleet, [client], [other]);
});

test('a foreign key that was reported goes in every form', async () => {
  const fleet = await startFleet({ apps: [APP] });
  const foreign = makeKey('ES256');
  const members = (key: TestKey) => ({
    jwks: {
      keys: [withPem(key), disguised(foreign, 'certificate', 'theirs'), disguised(foreign, 'JWK with padding', 'twin')],
    },
  });
  const client = await fleet.managed(APP, { members });
  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client, { compromised: { kid: 'theirs' } }));
  expect(kidsOn(fleet, client)).toEqual([kid]);
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, APP.slug, client.id))).toEqual([kid]);
  await expectSound(fleet, [client]);
});
