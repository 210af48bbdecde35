/** The document on the server beside ours, what differs, and what comes of it. */
import type { ClientRef } from '../../core/client.ts';
import { desiredDocument } from '../../core/desired.ts';
import type { KeyDocument, ObservedKeys, PublishedKey } from '../../core/document.ts';
import { type Difference, type DriftKind, kindsOf } from '../../core/drift.ts';
import { activeKey, holds, isKnown } from '../../core/keys.ts';
import { nameOf } from '../../core/naming-foreign.ts';
import type { ClientPolicy } from '../../core/policy.ts';
import { hasDrifted } from '../../core/publication.ts';
import type { ClientRecord, Enrolment } from '../../core/record.ts';
import { lostKeys } from '../../core/settling-checks.ts';

/** Members as in the JSON document; times are RFC 3339. */
export interface DriftView {
  readonly client: ClientRef;
  readonly client_id: string;
  readonly enrolment: Enrolment;
  /** When it was first seen: it may have come earlier. Who did it is not known. Null: nothing has drifted. */
  readonly since: string | null;
  readonly what: readonly Difference[];
  /** What rekeyd does about it by itself. */
  readonly by_itself: string;
  /** What a person can do; null: nothing has to be done. */
  readonly to_do: string | null;
  /** What rekeyd publishes; null: no key of the client is ours, or the config has no policy for it. */
  readonly ours: DocumentView | null;
  readonly server: DocumentView;
}

export interface DocumentView {
  readonly alg: string | null;
  readonly jwks_uri: string | null;
  /** In order. Empty beside a `jwks_uri` of ours: the set is served there. */
  readonly keys: readonly KeyView[];
}

export interface KeyView {
  readonly kid: string | null;
  /** `former`: it was ours, or was reported; it is not published any more. */
  readonly origin: 'ours' | 'former' | 'foreign';
  /** Of our keys: RFC 7638, SHA-256. */
  readonly thumbprint: string | null;
  /** SHA-256 of its SubjectPublicKeyInfo, base64url; null: it cannot be read as a key. */
  readonly id: string | null;
  readonly kty: string;
  readonly alg: string | null;
  /** Whether `public_key_pem` is there, and of this key. */
  readonly pem: 'same' | 'other' | 'none';
}

/** @param policy null when the config no longer takes care of the client */
export function driftView(record: ClientRecord, policy: ClientPolicy | null): DriftView {
  const { ref, clientId, enrolment, drift } = record;
  const document = policy === null || activeKey(record) === undefined ? null : desiredDocument(record, policy);
  return {
    client: ref,
    client_id: clientId,
    enrolment,
    since: drift === undefined ? null : new Date(drift.since).toISOString(),
    what: drift?.what ?? [],
    ...advice(record, policy),
    ours: document === null ? null : ourDocument(record, document),
    server: shownDocument(record, record.server.observed.client),
  };
}

function ourDocument(record: ClientRecord, document: KeyDocument): DocumentView {
  const { alg } = document;
  switch (document.format) {
    case 'jwks':
      return shownDocument(record, { alg, jwksUri: null, keys: document.keys });
    case 'pem': {
      const { pem, id } = document;
      const only: PublishedKey = { jwk: { kty: 'PEM', public_key_pem: pem }, ids: [id], pemId: id };
      return shownDocument(record, { alg, jwksUri: null, keys: [only] });
    }
    case 'jwks_uri':
      return { alg, jwks_uri: document.uri, keys: [] };
    default:
      return document satisfies never;
  }
}

function shownDocument(record: ClientRecord, { alg, jwksUri, keys }: ObservedKeys): DocumentView {
  return { alg, jwks_uri: jwksUri, keys: keys.map((key) => keyView(record, key)) };
}

function keyView(record: ClientRecord, shown: PublishedKey): KeyView {
  const { jwk, ids, pemId } = shown;
  const own = record.keys.find(({ id }) => holds(shown, id));
  const id = own?.id ?? ids[0] ?? null;
  return {
    kid: textOr(jwk.kid),
    origin: own !== undefined ? 'ours' : isKnown(record, shown) ? 'former' : 'foreign',
    thumbprint: own?.thumbprint ?? null,
    id,
    kty: jwk.kty,
    alg: textOr(jwk.alg),
    pem: pemId === null ? 'none' : pemId === id ? 'same' : 'other',
  };
}

function textOr(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function advice(record: ClientRecord, policy: ClientPolicy | null): Pick<DriftView, 'by_itself' | 'to_do'> {
  const kinds = kindsOf(record.drift);
  if (kinds.length === 0 || policy === null) {
    return {
      by_itself:
        policy === null
          ? 'Nothing: the config has no policy for it.'
          : 'Nothing: the server shows what rekeyd expects.',
      to_do: null,
    };
  }
  if (kinds.includes('vanished')) {
    return {
      by_itself: 'Schedules leave it alone until the server lists it as active again. Its keys are kept.',
      to_do: `If it is meant to be gone: \`rekeyd drift accept ${record.ref}\`.`,
    };
  }
  const accepting = `\`rekeyd drift accept ${record.ref}\` takes in what the server shows`;
  const repairing = `\`rekeyd drift repair ${record.ref}\` puts ours back`;
  if (kinds.includes('document')) return aboutDocument(record, policy, { accepting, repairing });
  const dropping = `\`rekeyd drift repair ${record.ref} --drop-foreign KID\` takes a foreign key away`;
  return {
    by_itself: byKind(kinds, policy),
    to_do: kinds.includes('foreign_added') ? `${accepting}; ${dropping}.` : `${accepting}.`,
  };
}

function aboutDocument(
  record: ClientRecord,
  policy: ClientPolicy,
  { accepting, repairing }: { readonly accepting: string; readonly repairing: string },
): Pick<DriftView, 'by_itself' | 'to_do'> {
  const both = `${accepting}; ${repairing}.`;
  const { rotation, halted } = record;
  if (halted !== null) return { by_itself: `Nothing: it is halted (${halted}).`, to_do: both };
  if (rotation !== null) {
    return {
      by_itself: `Rotation ${rotation.id} is under way (${rotation.phase.name}): its document takes the place of what the server shows, and keeps foreign keys.`,
      to_do: null,
    };
  }
  if (!hasDrifted(record, policy)) {
    return {
      by_itself: 'Nothing: rekeyd has not published this document. A person decides which one is right.',
      to_do: both,
    };
  }
  const lost = lostKeys(record, policy).map(nameOf);
  const loss = lost.length === 0 ? '' : ` The server then does not take the foreign key ${lost.join(', ')} any more.`;
  return {
    by_itself: `Its own document is published again.${loss}`,
    to_do: `To keep what the server shows, before that: ${accepting}.`,
  };
}

function byKind(kinds: readonly DriftKind[], { foreignKeys }: ClientPolicy): string {
  if (kinds.includes('registration')) return 'Nothing: how a client authenticates is not for rekeyd to change.';
  if (!kinds.includes('foreign_added')) return 'Nothing: rekeyd puts back no key that is not ours.';
  return foreignKeys === 'retire'
    ? 'Foreign keys leave with the old key of the next rotation (foreign_keys: retire).'
    : 'Nothing: foreign keys are kept, and published beside ours.';
}
