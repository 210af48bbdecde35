/** Ways to publish, algorithms, and foreign keys. */
import { expect, test } from 'vitest';
import type { Algorithm } from '../../src/core/keys.ts';
import { goodClaims, introspect, makeKey, sign, withPem } from '../emulator/testing.ts';
import { DEPLOYMENT, type FleetApp, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';

interface Case {
  readonly name: string;
  readonly base: FleetApp;
  readonly policy: { readonly [member: string]: unknown; readonly strategy?: string; readonly embed_pem?: boolean };
  /** What the client signs with before. */
  readonly alg?: Algorithm;
}

const RSA = { modulus_length: 2048 };

test.each<Case>([
  { name: 'a JWK Set without PEM', base: KID_APP, policy: { strategy: 'overlap', embed_pem: false } },
  { name: 'a single PEM', base: PEM_APP, policy: { format: 'pem' } },
  { name: 'RS256', base: PEM_APP, policy: { alg: 'RS256', ...RSA }, alg: 'RS256' },
  { name: 'RS256 in an overlap', base: KID_APP, policy: { strategy: 'overlap', alg: 'RS256', ...RSA }, alg: 'RS256' },
  { name: 'PS256 in an overlap', base: KID_APP, policy: { strategy: 'overlap', alg: 'PS256', ...RSA }, alg: 'PS256' },
  { name: 'ES384', base: PEM_APP, policy: { alg: 'ES384' }, alg: 'ES384' },
  { name: 'EdDSA in an overlap', base: KID_APP, policy: { strategy: 'overlap', alg: 'EdDSA' }, alg: 'EdDSA' },
  { name: 'from RS256 to ES256', base: PEM_APP, policy: { alg: 'ES256' }, alg: 'RS256' },
  { name: 'from ES256 to EdDSA', base: KID_APP, policy: { alg: 'EdDSA' }, alg: 'ES256' },
])('rotates without a refused login: $name', async ({ base, policy, alg = 'ES256' }) => {
  const app = { ...base, policy };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app, { alg });
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const more = policy.alg === undefined || policy.alg === alg ? {} : { try_alg: true };
  await fleet.reached(client, await fleet.rotate(client, more));
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  await logins.more(2);
  const { refused, fallback } = await logins.stop();
  expect(refused).toEqual([]);
  if (policy.strategy === 'overlap') expect(fallback).toBe(0);
  const stored = fleet.emulator.client(DEPLOYMENT, app.slug, client.id);
  expect(await thumbprints(stored)).toEqual([kid]);
  expect(stored.token_endpoint_auth_signing_alg).toBe(policy.alg ?? 'ES256');
  if (policy.embed_pem === false) expect(stored.public_key_pem).toBeNull();
  await expectSound(fleet, [client]);
});

test('foreign keys are kept as they are, in their order, and go on signing in', async () => {
  const app = KID_APP;
  const fleet = await startFleet({ apps: [app] });
  const others = [makeKey('ES256'), makeKey('ES256')];
  const odd = { kty: 'oct-odd', kid: 'odd', x: 'not a key', x5u: 'https://x.example.com/' };
  const keys = [...others.map(withPem), odd];
  const client = await fleet.foreign(app, { members: { jwks: { keys } } });
  const before = fleet.emulator.client(DEPLOYMENT, app.slug, client.id).jwks?.keys;
  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client, { take_over: true }));
  const after = fleet.emulator.client(DEPLOYMENT, app.slug, client.id).jwks?.keys ?? [];
  expect(after.filter((key) => key.kid !== kid)).toEqual(before);
  const host = `${app.slug}.example.com`;
  for (const key of others) {
    const assertion = await sign(key, goodClaims(client.clientId, host, '/oauth/introspect'), { kid: key.kid });
    expect((await introspect(fleet.emulator, host, client.clientId, assertion)).status).toBe(200);
  }
  const logins = await startLogins(client, fleet);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
});

test.each([PEM_APP, KID_APP])('$slug: foreign keys are retired where the policy says so', async (base) => {
  const app = { ...base, policy: { ...base.policy, foreign_keys: 'retire' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.foreign(app, {
    members: { jwks: { keys: [makeKey('ES256'), makeKey('ES256')].map(withPem) } },
  });
  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client, { take_over: true }));
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, app.slug, client.id))).toEqual([kid]);
  const logins = await startLogins(client, fleet);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
});

test('a key that is only read back counts as unproven', async () => {
  const app = { ...PEM_APP, policy: { prove: 'read_back' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect((await fleet.record(client)).keys.find((key) => key.kid === kid)?.proof).toBe('read_back');
  const types = (await fleet.audit()).map(({ type }) => type);
  expect(types).not.toContain('key.proven');
  expect(fleet.emulator.log.filter(({ api }) => api === 'runtime')).toEqual([]);
});
