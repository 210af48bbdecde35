/** How many rotations the hunts for secrets look behind. */
import { vi } from 'vitest';
import type { Fleet, FleetApp, FleetClient } from './fleet.ts';
import { KID_APP, PEM_APP } from './fleet.ts';

/** A handful in `npm test`; `SECRETS_ROTATIONS=300` for a long hunt. */
export const ROTATIONS = Number(process.env.SECRETS_ROTATIONS ?? 6);

const ALGORITHMS = ['ES256', 'EdDSA', 'RS256'] as const;

/** Few clients that rotate often would hide what a long list of clients leaves behind, and the other way round. */
const PER_APP = Math.max(1, Math.round(Math.sqrt(ROTATIONS / ALGORITHMS.length / 4)));
export const ROUNDS = Math.ceil(ROTATIONS / (ALGORITHMS.length * PER_APP));

/** Of one rotation, on a machine that is busy with other things. */
const SLOW_ROTATION_MS = 3_000;

vi.setConfig({ testTimeout: 120_000 + ROTATIONS * SLOW_ROTATION_MS });

/** One app for each kind of key. */
export const APPS: readonly FleetApp[] = [
  { ...PEM_APP, slug: 'ec', policy: { alg: 'ES256' } },
  { ...KID_APP, slug: 'okp', policy: { alg: 'EdDSA', strategy: 'overlap' } },
  { ...PEM_APP, slug: 'rsa', policy: { alg: 'RS256', modulus_length: 2048 } },
];

/** Clients of each app, whose first keys were imported. */
export async function managedClients(fleet: Fleet): Promise<FleetClient[]> {
  const each = APPS.flatMap((app, index) => Array.from({ length: PER_APP }, () => ({ app, alg: ALGORITHMS[index] })));
  return Promise.all(each.map(({ app, alg = 'ES256' }) => fleet.managed(app, { alg })));
}
