/** What a policy asks for and a client cannot have. */
import { foreignKeys } from './desired.ts';
import type { Format } from './document.ts';
import { isEligible } from './due.ts';
import { type Algorithm, activeKey, isAlgorithm } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import { unfit } from './possible.ts';
import { PEM_KTY } from './readback.ts';
import type { ClientRecord } from './record.ts';
import { mayBePublished, type Rotation } from './rotation.ts';

/** The alg that the client's present key signs with, as far as it can be told. Any text may be registered. */
export function presentAlg(record: ClientRecord): string {
  const active = activeKey(record);
  if (active !== undefined) return active.alg;
  const { alg, keys } = record.server.observed.client;
  if (alg !== null) return alg;
  const jwk = keys[0]?.jwk;
  if (typeof jwk?.alg === 'string') return jwk.alg;
  if (jwk?.kty === 'EC') return jwk.crv === 'P-384' ? 'ES384' : jwk.crv === 'P-521' ? 'ES512' : 'ES256';
  if (jwk?.kty === 'OKP') return 'EdDSA';
  return 'RS256';
}

/** How the client's present key is published. */
export function presentFormat({ server }: ClientRecord): Format {
  if (server.format !== null) return server.format;
  const { keys, jwksUri } = server.observed.client;
  if (keys.length === 0 && jwksUri !== null) return 'jwks_uri';
  return keys.length === 1 && keys[0]?.jwk.kty === PEM_KTY ? 'pem' : 'jwks';
}

/** The client is sent to an address that is not ours. */
export function showsOwnAddress(record: ClientRecord, { jwksUri }: Pick<ClientPolicy, 'jwksUri'>): boolean {
  const { client } = record.server.observed;
  return presentFormat(record) === 'jwks_uri' && client.jwksUri !== null && client.jwksUri !== jwksUri;
}

/** What a new key of this client signs; null when the client has an alg that rekeyd makes no keys for. */
export function chosenAlg(record: ClientRecord, policy: Pick<ClientPolicy, 'alg'>): Algorithm | null {
  if (policy.alg !== 'keep') return policy.alg;
  const present = presentAlg(record);
  return isAlgorithm(present) ? present : null;
}

/**
 * Why this rotation cannot go on from where it is, or null. A foreign key may show only in the look before the PATCH: somebody has just published it, or an
 * answer that was wrong had left it out. Nothing was sent yet, so the rotation fails and the key stays. A compromise goes on.
 */
export function presentObstacle(record: ClientRecord, rotation: Rotation, policy: ClientPolicy): string | null {
  const { phase } = rotation;
  if (phase.name === 'requested') return obstacle(record, rotation, policy);
  const isUnsent = phase.name === 'delivered' && !mayBePublished(rotation);
  return isUnsent ? foreignObstacle(record, rotation) : null;
}

/** Why this rotation cannot be done as the policy says, or null. */
export function obstacle(record: ClientRecord, rotation: Rotation, policy: ClientPolicy): string | null {
  const { client } = record.server.observed;
  if (!isEligible(client)) {
    return client.active
      ? `the client authenticates with ${client.authMethod}: only private_key_jwt has keys. Change its client_auth_method first`
      : 'the client is not active, or the server no longer lists it';
  }
  // A client that is sent to a served set shows no keys, and has some.
  const hasKeys = activeKey(record) !== undefined || client.keys.length > 0 || client.jwksUri !== null;
  if (rotation.strategy === 'overlap' && hasKeys && presentAlg(record) !== rotation.alg) {
    return (
      `strategy overlap cannot change the alg from ${presentAlg(record)} to ${rotation.alg}: the server verifies one alg per client. ` +
      'Set strategy: auto (or cutover) in the policy until the new alg is in use.'
    );
  }
  const isLeaving = record.server.format === 'jwks_uri' && rotation.format !== 'jwks_uri';
  if (isLeaving && policy.prove === 'read_back') {
    return 'a server may go on preferring a jwks_uri, which only a sign-in shows. Set prove: required to leave it.';
  }
  // A leaked key goes in any case; what it is replaced with was chosen with that in mind.
  const present = { alg: presentAlg(record), format: presentFormat(record) };
  const refusal = rotation.compromised === null ? unfit(record, rotation, present, policy) : null;
  const why = refusal ?? foreignObstacle(record, rotation);
  if (why !== null) return why;
  if (rotation.format !== 'jwks_uri') return null;
  if (policy.format === 'keep' && showsOwnAddress(record, policy)) {
    return `the client publishes its keys at an address of its own (${client.jwksUri}), where rekeyd cannot put any. Name a format in its policy: jwks, pem or jwks_uri.`;
  }
  if (policy.jwksUri === null) {
    return 'format jwks_uri needs a place to serve the set from. Set publish.path and publish.base_url in the config, or name another format.';
  }
  return null;
}

/** Why this rotation would take foreign keys away that nobody gave up, or null. A leaked key goes in any case. */
function foreignObstacle(record: ClientRecord, { format, foreignKeys, compromised }: Rotation): string | null {
  const lost = foreignLost(record, format);
  if (lost === 0 || compromised !== null) return null;
  if (format === 'jwks_uri') {
    return `format jwks_uri serves keys of rekeyd alone, and foreign keys are published (${lost}). Rotate with format: jwks and foreign_keys: retire first, or keep format: jwks.`;
  }
  if (foreignKeys === 'retire') return null;
  return `format pem holds one key, and foreign keys are published (${lost}). Set foreign_keys: retire to replace them, or format: jwks to keep them.`;
}

/** How many foreign keys a document in this format takes away. Where a single key is published, a PEM replaces just that one. */
export function foreignLost(record: ClientRecord, format: Format): number {
  const isReplaced = format === 'pem' && record.server.observed.client.keys.length === 1;
  return format === 'jwks' || isReplaced ? 0 : foreignKeys(record).length;
}
