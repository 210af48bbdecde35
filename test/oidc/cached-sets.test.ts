/** Sets under `jwks_uri`, on a server that keeps what it fetched: oidc-provider, whose minute is cut short. */
import { expect, onTestFinished, test } from 'vitest';
import { goodClaims, sign } from '../emulator/testing.ts';
import { LANES } from '../streams/kinds.ts';
import { PER_SECOND } from '../streams/run.ts';
import { startSignIns } from '../streams/sign-ins.ts';
import { openWorld, type StreamClient } from '../streams/world.ts';

const served = LANES.flat().filter(({ format }) => format === 'jwks_uri');

async function start(keepSetsMs: number) {
  const world = await openWorld(served, { keepSetsMs, propagationMs: 2 * keepSetsMs });
  onTestFinished(() => world.close());
  const [kind] = served;
  if (kind === undefined) throw new Error('no stream has format jwks_uri');
  /** @returns the status of a sign-in with the key that the client had first */
  async function signInAsBefore({ clientId, key }: StreamClient): Promise<number> {
    const url = `${world.issuer}/oauth/token`;
    const assertion = await sign(key, { ...goodClaims(clientId, '', ''), aud: url }, { kid: key.kid });
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    });
    return (await fetch(url, { method: 'POST', body })).status;
  }
  return { world, client: await world.enrolled(kind, 'ES256'), signInAsBefore };
}

test('an old key is refused when its rotation is finished, and a compromise just after that takes one key', async () => {
  const { world, client, signInAsBefore } = await start(1_000);
  expect(await signInAsBefore(client)).toBe(200);
  // All that comes meanwhile is signed with keys that the server knows: it would not fetch the set by itself.
  expect((await world.rotate(client)).rotation).toMatchObject({ state: 'finished', strategy: 'overlap' });
  expect(await signInAsBefore(client)).toBe(401);
  // So the server has just fetched the set, and goes by it for a second, in which it refuses any new key.
  const { rotation } = await world.rotate(client, { compromised: true });
  expect(rotation).toMatchObject({ state: 'finished', error: null });
  const audit = await world.audit();
  const made = audit.filter(({ type, rotation: id }) => type === 'key.generated' && id === rotation.id);
  expect(made.map(({ data }) => data.kid)).toEqual([rotation.kid]);
});

test('an overlap that waits for less than the server keeps a set is rolled back, and no sign-in is refused', async () => {
  // At first the server keeps a set for less than the overlap waits.
  const { world, client } = await start(100);
  const signIns = await startSignIns([client], world.issuer, PER_SECOND);
  onTestFinished(() => signIns.stop());
  expect((await world.rotate(client)).rotation).toMatchObject({ state: 'finished' });
  // The set that showed that the old key is gone is kept, and the next new key is not in it.
  world.keepSetsFor(60_000);
  const { rotation } = await world.rotate(client);
  expect(rotation).toMatchObject({ state: 'rolled_back', error: expect.stringContaining('refuses the new key') });
  await signIns.stop();
  expect(signIns).toMatchObject({ fallback: 0, refused: [] });
  expect(signIns.ok).toBeGreaterThan(0);
});
