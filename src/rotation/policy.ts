/** The policy of one client, and the KEKs, as the config has them. */
import { type Config, type PolicyConfig, policyFor } from '../config/model.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ClientPolicy } from '../core/policy.ts';
import type { Kek } from '../keys/sealed.ts';
import type { Resources } from './resources.ts';

/** A client's policy with what only making keys and schedules need. */
export type RotationPolicy = ClientPolicy & PolicyConfig;

/** Null when the config does not take care of this client. */
export function clientPolicy(
  { config, folder }: Pick<Resources, 'config' | 'folder'>,
  ref: ClientRef,
): RotationPolicy | null {
  const found = policyFor(config, ref);
  const deployment = config.deployments.find(({ id }) => id === splitReference(ref).deployment);
  if (found === null || deployment === undefined) return null;
  return { ...found.policy, jwksUri: folder?.urlFor(ref) ?? null, backoff: deployment.backoff };
}

export function keksOf(config: Config): readonly Kek[] {
  return config.encryption.keks.map(({ id, key }) => ({ id, key: key.revealBytes() }));
}
