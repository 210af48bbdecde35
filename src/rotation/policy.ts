/** The policy of one client, and the KEKs, as the config has them. */
import { policyFor } from '../config/lookup.ts';
import type { Config, PolicyConfig } from '../config/model.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ClientPolicy } from '../core/policy.ts';
import type { Kek } from '../keys/kek.ts';
import { openKek } from '../kms/open.ts';
import type { Facts } from './facts.ts';
import type { Resources } from './resources.ts';

/** A client's policy with what only making keys and schedules need. */
export type RotationPolicy = ClientPolicy & PolicyConfig;

/** By what is known of its server; see {@link Facts.refresh}. Null when the config does not take care of this client. */
export function clientPolicy(
  { config, folder, facts }: Pick<Resources, 'config' | 'folder'> & { readonly facts: Pick<Facts, 'of'> },
  ref: ClientRef,
): RotationPolicy | null {
  const found = policyFor(config, ref);
  const deployment = config.deployments.find(({ id }) => id === splitReference(ref).deployment);
  if (found === null || deployment === undefined) return null;
  const jwksUri = folder?.urlFor(ref) ?? null;
  return { ...found.policy, jwksUri, backoff: deployment.backoff, facts: facts.of(ref) };
}

/** The KEKs of each config that was read. One in a KMS keeps its connections, and the keys that it signs documents with. */
const opened = new WeakMap<Config['encryption'], readonly Kek[]>();

export function keksOf({ encryption }: Config): readonly Kek[] {
  const known = opened.get(encryption);
  if (known !== undefined) return known;
  const keks = encryption.keks.map(openKek);
  opened.set(encryption, keks);
  return keks;
}

/** When the config goes: its services are told, and connections end. They are there again for who asks once more. */
export async function releaseKeks({ encryption }: Config): Promise<void> {
  const keks = opened.get(encryption) ?? [];
  await Promise.all(keks.map((kek) => ('kms' in kek ? kek.kms.release() : null)));
}
