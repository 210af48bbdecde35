/** The KEK that a config names. */
import type { KekConfig } from '../config/kek.ts';
import type { Kek } from '../keys/kek.ts';
import { openMacKeys } from '../keys/kms.ts';
import { awsKms } from './aws-kms.ts';
import { checked } from './checked.ts';
import { vaultTransit } from './vault-transit.ts';

/** Asks no service yet. */
export function openKek(config: KekConfig): Kek {
  const { id } = config;
  if (config.kind === 'local') return { id, key: config.key.revealBytes() };
  const kms = checked(id, config.kind === 'vault_transit' ? vaultTransit(id, config) : awsKms(id, config));
  return { id, kms, macKeys: openMacKeys(kms) };
}
