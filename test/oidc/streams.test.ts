/**
 * Sign-ins go on through rotations at oidc-provider, made by openid-client: neither is ours. Shortened; the long run:
 *
 *     STREAM_ROTATIONS=200 npm test -- test/oidc
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { Algorithm } from '../../src/core/keys.ts';
import { DEPLOYMENT, type FleetApp, type FleetClient } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { type OidcFleet, startOidcFleet } from './fleet.ts';
import { type Counts, startStream } from './stream.ts';

/** Of all clients together. */
const ROTATIONS = Number(process.env.STREAM_ROTATIONS ?? 12);
const PER_SECOND = 50;
const isLong = ROTATIONS > 50;

/** Of a client, one after the other. A few clients of each kind share the rotations of a long run. */
const ROUNDS = isLong ? 6 : 2;

vi.setConfig({ testTimeout: 90_000 + ROTATIONS * 4_000 });

const POLICY = { propagation: '100ms', overlap: '1s', modulus_length: 2048 };
const overlap = (slug: string): FleetApp => ({
  slug,
  selection: 'jwks_kid',
  policy: { ...POLICY, strategy: 'overlap' },
});
const cutover = (slug: string, alg: Algorithm): FleetApp => ({
  slug,
  selection: 'jwks_kid',
  policy: { ...POLICY, strategy: 'cutover', alg },
});

interface Kind {
  readonly app: FleetApp;
  /** Of the key that a client begins with. */
  readonly alg: Algorithm;
  /** Absent: as many as all kinds have. */
  readonly rounds?: number;
}

const KINDS: readonly Kind[] = [
  { app: overlap('es256'), alg: 'ES256' },
  { app: overlap('rs256'), alg: 'RS256' },
  { app: overlap('ps256'), alg: 'PS256' },
  { app: overlap('eddsa'), alg: 'EdDSA' },
  { app: cutover('cut-es256', 'ES256'), alg: 'ES256' },
  { app: cutover('cut-rs256', 'RS256'), alg: 'RS256' },
  // The first rotation of each client changes its alg.
  { app: cutover('rsa-to-ec', 'ES256'), alg: 'RS256', rounds: 1 },
  { app: cutover('ec-to-okp', 'EdDSA'), alg: 'ES256', rounds: 1 },
];

/** How many clients of each kind. */
const CLIENTS = Math.max(1, Math.ceil(ROTATIONS / (ROUNDS * 6 + 2)));

test('overlaps are refused at no first try, cutovers at no second one', async () => {
  const fleet = await startOidcFleet(KINDS.map(({ app }) => app));
  const clients: { readonly client: FleetClient; readonly rounds: number }[] = [];
  for (const { app, alg, rounds = ROUNDS } of KINDS) {
    for (let made = 0; made < CLIENTS; made++) clients.push({ client: await fleet.managed(app, { alg }), rounds });
  }
  await fleet.startWorker();
  const all = clients.map(({ client }) => client);
  const stream = await startStream(all, fleet.provider.issuer, PER_SECOND);
  await stream.more(all.length * 2);
  const begun = performance.now();
  const windows: number[] = [];
  const turns = clients.map(async ({ client, rounds }) => {
    for (let round = 0; round < rounds; round++) windows.push(...(await rotated(fleet, client)));
  });
  await Promise.all(turns);
  const seconds = (performance.now() - begun) / 1000;
  await stream.more(all.length * 2);
  await stream.stop();

  const rotations = clients.reduce((sum, { rounds }) => sum + rounds, 0);
  expect(rotations).toBeGreaterThanOrEqual(ROTATIONS);
  const of = (strategy: string) =>
    total(
      all.filter(({ app }) => app.policy?.strategy === strategy),
      stream.counts,
    );
  const [overlaps, cutovers] = [of('overlap'), of('cutover')];
  const sorted = windows.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  console.log(
    `${rotations} rotations in ${seconds.toFixed(0)} s, ${clients.length} clients. Overlap: ${told(overlaps)}. Cutover: ${told(cutovers)}; ` +
      `from the PATCH until signers have the new key: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms (${sorted.length}).`,
  );
  expect(overlaps).toMatchObject({ fallback: 0, refused: [] });
  expect(cutovers).toMatchObject({ refused: [] });
  expect(overlaps.ok).toBeGreaterThan(clients.length);
  for (const [client, { ok }] of stream.counts) expect([client.ref, ok > 2]).toEqual([client.ref, true]);
});

/** @returns in ms, for a cutover: from the answer to the PATCH until the key folder has the new key as current */
async function rotated(fleet: OidcFleet, client: FleetClient): Promise<readonly number[]> {
  const before = await currentOf(client);
  const id = await fleet.rotate(client, { try_alg: true });
  let isOver = false;
  const finished = fleet.reached(client, id).finally(() => {
    isOver = true;
  });
  finished.catch(() => {}); // awaited below
  while (!isOver && (await currentOf(client)) === before) await delay(2);
  const switched = performance.now();
  await finished;
  const { slug, policy } = client.app;
  const { token_endpoint_auth_signing_alg: alg } = fleet.emulator.client(DEPLOYMENT, slug, client.id);
  if (policy?.alg !== undefined) expect(alg).toBe(policy.alg);
  return policy?.strategy === 'cutover' ? [switched - (fleet.cutOverAt.get(client.id) ?? Number.NaN)] : [];
}

async function currentOf({ folder }: FleetClient): Promise<unknown> {
  return JSON.parse(await readFile(join(folder, 'meta.json'), 'utf8')).current;
}

function total(clients: readonly FleetClient[], counts: ReadonlyMap<FleetClient, Counts>): Counts {
  const sum: Counts = { ok: 0, fallback: 0, refused: [] };
  for (const client of clients) {
    const { ok, fallback, refused } = counts.get(client) ?? sum;
    sum.ok += ok;
    sum.fallback += fallback;
    sum.refused.push(...refused);
  }
  return sum;
}

function told({ ok, fallback, refused }: Counts): string {
  return `${ok} at the first try, ${fallback} at the second, ${refused.length} refused`;
}

/** As `reached`, for as long as the server keeps its sets. */
async function ended(fleet: OidcFleet, client: FleetClient, id: string, states: readonly string[]): Promise<void> {
  await until(
    `rotation ${id} of ${client.ref} is ${states[0]}`,
    async (saw) => states.includes(saw(await fleet.rotation(client, id))?.state ?? ''),
    isLong ? 400_000 : 30_000,
  );
}

/** oidc-provider keeps a set for a minute at least; shortened, so that a test can sit it out. */
const CACHED_MS = isLong ? null : 1_000;
const served = (slug: string, propagation: string): FleetApp => ({
  slug,
  selection: 'jwks_kid',
  policy: { ...POLICY, strategy: 'overlap', format: 'jwks_uri', propagation },
});

test('behind a jwks_uri, a rotation that waits for longer than the server keeps a set is refused at no try', async () => {
  const app = served('served', CACHED_MS === null ? '62s' : '1300ms');
  const fleet = await startOidcFleet([app]);
  const clients = await Promise.all((['ES256', 'EdDSA'] as const).map((alg) => fleet.managed(app, { alg })));
  const [first] = clients;
  if (CACHED_MS !== null && first !== undefined) await fleet.provider.cacheFor(CACHED_MS, first.clientId);
  await fleet.startWorker();
  const stream = await startStream(clients, fleet.provider.issuer, PER_SECOND);
  await stream.more(4);
  // The first moves the set to where the server fetches it from; the second changes what is there.
  await Promise.all(
    clients.map(async (client) => {
      const moved = await fleet.rotate(client);
      await ended(fleet, client, moved, ['active', 'finished']);
      await ended(fleet, client, await fleet.rotate(client), ['finished']);
      await ended(fleet, client, moved, ['finished']);
    }),
  );
  await stream.more(4);
  await stream.stop();
  const counts = total(clients, stream.counts);
  console.log(`jwks_uri: ${told(counts)}.`);
  expect(counts).toMatchObject({ fallback: 0, refused: [] });
  expect(counts.ok).toBeGreaterThan(50);
});

test('one that waits for less is rolled back, and no sign-in is refused', async () => {
  const app = served('impatient', '100ms');
  const fleet = await startOidcFleet([app]);
  const client = await fleet.managed(app);
  await fleet.provider.cacheFor(500, client.clientId);
  await fleet.startWorker();
  const stream = await startStream([client], fleet.provider.issuer, PER_SECOND);
  await stream.more(4);
  await fleet.reached(client, await fleet.rotate(client)); // moves the set to where the server fetches it from
  await fleet.provider.cacheFor(60_000, client.clientId);
  await fleet.reached(client, await fleet.rotate(client), 'rolled_back');
  await stream.more(10);
  await stream.stop();
  expect(total([client], stream.counts)).toMatchObject({ fallback: 0, refused: [] });
});
