/** Keys as components of a CycloneDX cryptography bill of materials (CBOM), version 1.6 of its schema. Public facts only. */
import type { PublicJwk, PublishedKey } from './document.ts';
import { isOverdue, overdueFrom } from './due.ts';
import { type Algorithm, holds, isAlgorithm, type ManagedKey, wasReported } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';

interface Property {
  readonly name: string;
  readonly value: string;
}

export interface Component {
  readonly type: 'cryptographic-asset';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly cryptoProperties: object;
  readonly properties?: readonly Property[];
}

/** How private halves are kept: see `keys/sealed.ts`. */
const SEALING = 'crypto/algorithm/AES-256-GCM';

function algorithmRef(alg: Algorithm): string {
  return `crypto/algorithm/${alg}`;
}

const STATES = {
  'pre-active': 'pre-activation',
  active: 'active',
  deactivated: 'deactivated',
  compromised: 'compromised',
} as const satisfies Record<ManagedKey['state'], string>;

const DAY_MS = 24 * 3600 * 1000;

/** The keys that rekeyd holds of a client, and the other ones that the server showed when it was last seen. @param name of the policy */
export function keyComponents(
  record: ClientRecord,
  { name, policy }: { readonly name: string | null; readonly policy: ClientPolicy | null },
  now: number,
): readonly Component[] {
  const { ref, clientId, enrolment, server } = record;
  const common = { client: ref, client_id: clientId, enrolment, policy: name };
  const shown = server.observed.client.keys.filter((key) => !record.keys.some(({ id }) => holds(key, id)));
  // One key may be shown under two names.
  const theirs = shown.filter(
    ({ ids: [id] }, index) => id === undefined || shown.findIndex((key) => holds(key, id)) === index,
  );
  return [
    ...record.keys.map((key) => managed(record, key, common, policy, now)),
    ...theirs.map((key, index) => foreign(record, key, index, common)),
  ];
}

type Facts = Readonly<Record<string, string | number | boolean | null>>;

function managed(
  record: ClientRecord,
  key: ManagedKey,
  common: Facts,
  policy: ClientPolicy | null,
  now: number,
): Component {
  const { kid, thumbprint, alg, state, createdAt, activatedAt, publishedAt, proof } = key;
  const overdueAt = state === 'active' && policy !== null ? overdueFrom(record, policy) : null;
  const size = sizeOf(key.jwk);
  return {
    type: 'cryptographic-asset',
    'bom-ref': `crypto/key/${record.ref}#${thumbprint}`,
    name: kid,
    cryptoProperties: {
      assetType: 'related-crypto-material',
      relatedCryptoMaterialProperties: {
        type: 'private-key',
        id: thumbprint,
        state: wasReported(record, key) ? 'compromised' : STATES[state],
        ...(size !== null && { size }),
        algorithmRef: algorithmRef(alg),
        creationDate: iso(createdAt),
        ...(activatedAt !== null && { activationDate: iso(activatedAt) }),
        ...(overdueAt !== null && { expirationDate: iso(overdueAt) }),
        securedBy: { mechanism: 'Software', algorithmRef: SEALING },
      },
    },
    properties: propertiesOf({
      ...common,
      alg,
      published_at: publishedAt === null ? null : iso(publishedAt),
      proof,
      age_days: Math.floor((now - (activatedAt ?? createdAt)) / DAY_MS),
      must_by: overdueAt === null ? null : iso(overdueAt),
      overdue: state === 'active' && policy !== null ? isOverdue(record, policy, now) : null,
    }),
  };
}

/** Its age is not known, and its private half is not here. */
function foreign(record: ClientRecord, shown: PublishedKey, index: number, common: Facts): Component {
  const { jwk, ids } = shown;
  const { client, at } = record.server.observed;
  const named = typeof jwk.kid === 'string' ? jwk.kid : (ids[0] ?? 'unreadable');
  const alg = typeof jwk.alg === 'string' ? jwk.alg : client.alg;
  const size = sizeOf(jwk);
  return {
    type: 'cryptographic-asset',
    // One that nobody can read has no id.
    'bom-ref': `crypto/key/${record.ref}#${ids[0] ?? `foreign-${index}`}`,
    name: named.slice(0, 200) || 'unnamed',
    cryptoProperties: {
      assetType: 'related-crypto-material',
      relatedCryptoMaterialProperties: {
        type: 'public-key',
        ...(ids[0] !== undefined && { id: ids[0] }),
        ...(size !== null && { size }),
        ...(alg !== null && isAlgorithm(alg) && { algorithmRef: algorithmRef(alg) }),
      },
    },
    properties: propertiesOf({ ...common, foreign: true, seen_at: iso(at) }),
  };
}

function propertiesOf(facts: Facts): readonly Property[] {
  return Object.entries(facts).flatMap(([name, value]) =>
    value === null ? [] : [{ name: `rekeyd:${name}`, value: String(value) }],
  );
}

const CURVES: Readonly<Record<string, number>> = { 'P-256': 256, 'P-384': 384, 'P-521': 521, Ed25519: 256 };

/** In bits; null where it cannot be told. A server may name any curve. */
function sizeOf({ n, crv }: PublicJwk): number | null {
  if (typeof crv === 'string') return Object.hasOwn(CURVES, crv) ? (CURVES[crv] ?? null) : null;
  // Base64url without padding: 6 bits a character, and a modulus is a whole number of bytes.
  return typeof n === 'string' ? Math.floor((n.length * 6) / 8) * 8 : null;
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

const SHA = { 256: '256', 384: '384', 512: '512' } as const;

/** Those that keys of a CBOM refer to. @param algs in any order */
export function algorithmComponents(algs: Iterable<Algorithm>): readonly Component[] {
  return [...[...new Set(algs)].sort().map(signature), sealing];
}

function signature(alg: Algorithm): Component {
  const hash = SHA[alg.slice(2) as '256'] ?? null; // of EdDSA nothing that is in the table
  const curves: Partial<Record<Algorithm, string>> = {
    ES256: 'P-256',
    ES384: 'P-384',
    ES512: 'P-521',
    EdDSA: 'Ed25519',
  };
  const curve = curves[alg];
  return {
    type: 'cryptographic-asset',
    'bom-ref': algorithmRef(alg),
    name: alg,
    cryptoProperties: {
      assetType: 'algorithm',
      algorithmProperties: {
        primitive: 'signature',
        ...(hash !== null && { parameterSetIdentifier: hash }),
        ...(curve !== undefined && { curve }),
        executionEnvironment: 'software-plain-ram',
        ...(alg.startsWith('RS') && { padding: 'pkcs1v15' }),
        cryptoFunctions: ['keygen', 'sign', 'verify'],
        nistQuantumSecurityLevel: 0,
      },
    },
  };
}

const sealing: Component = {
  type: 'cryptographic-asset',
  'bom-ref': SEALING,
  name: 'AES-256-GCM',
  cryptoProperties: {
    assetType: 'algorithm',
    algorithmProperties: {
      primitive: 'ae',
      parameterSetIdentifier: '256',
      mode: 'gcm',
      executionEnvironment: 'software-plain-ram',
      cryptoFunctions: ['encrypt', 'decrypt'],
    },
  },
};
