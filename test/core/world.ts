/**
 * A simulated world for the core: a store with compare-and-set, a server that lets PATCHes arrive late, two places where signers find their
 * keys, and a place for the public set.
 */
import type { AuditDraft } from '../../src/core/audit.ts';
import { bodyOf, type KeyDocument, type ObservedClient, type PublicJwk } from '../../src/core/document.ts';
import type { Hearing } from '../../src/core/heard.ts';
import type { RotationSummary } from '../../src/core/history.ts';
import { type Algorithm, holds, type KeyMaterial, publishedAs } from '../../src/core/keys.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import type { Delivery } from '../../src/core/signers.ts';
import type { Transition } from '../../src/core/transition.ts';
import { client, entryOf, material, SERVED_URI, START, THEIR_URI } from './support.ts';

/**
 * `kid`: takes every published key whose alg fits, of the source that was set last. `kid, uri wins`: the same, and a `jwks_uri` once set counts for ever.
 * `first`: takes the first key only, and knows no `jwks_uri`.
 */
export type ServerMode = 'kid' | 'kid, uri wins' | 'first';

/**
 * What the process that signs reports. `silent`: nothing. `following`: what its folder holds. `stuck`: what its folder held when it got stuck. `lying`: a
 * key that nobody knows. `unreadable`: nobody can tell.
 */
export type Signer = 'silent' | 'following' | 'stuck' | 'lying' | 'unreadable';

interface Late {
  readonly document: KeyDocument;
  readonly arrivesAt: number;
}

export interface Held {
  readonly record: ClientRecord;
  readonly version: number;
}

const LIE: Delivery = { current: 'nobody', next: null, previous: null };

export class World {
  now = START;
  version = 0;
  readonly audit: AuditDraft[] = [];
  /** Rotations that ended, newest first. */
  readonly history: RotationSummary[] = [];
  readonly server: { alg: string | null; jwksUri: string | null; keys: readonly PublicJwk[]; active: boolean };
  /** Which of its two sources the server verifies with: the one that was set last. */
  source: 'keys' | 'uri' = 'keys';
  late: Late[] = [];
  servedSet: readonly PublicJwk[] = [];
  /** What stands at the client's own address. */
  readonly theirSet: readonly PublicJwk[];
  /** Thumbprints of the private halves in the store. */
  readonly sealed = new Set<string>();
  readonly made = new Map<string, KeyMaterial>();
  readonly proven = new Set<string>();
  /** Ids of the keys that left here in a document or a set, and those of them that were seen refused, or taken as refused, since. */
  readonly sent = new Set<string>();
  readonly refused = new Set<string>();
  readonly sinks: (Delivery | null)[] = [null, null];
  signer: Signer = 'silent';
  /** What the signer held when it began to be as it is. */
  #heldThen: Delivery | null = null;
  readonly trace: string[] = [];
  readonly mode: ServerMode;
  /** As it was last read back from the store. */
  record: ClientRecord;
  #stored: string;
  #count = 0;
  readonly #watch: (world: World, what: string) => void;

  constructor(mode: ServerMode, record: ClientRecord, watch: (world: World, what: string) => void = () => {}) {
    this.mode = mode;
    this.#stored = JSON.stringify(record);
    this.record = record;
    this.#watch = watch;
    const { alg, jwksUri, keys, active } = record.server.observed.client;
    this.server = { alg, jwksUri, keys: keys.map(({ jwk }) => jwk), active };
    if (jwksUri !== null) this.source = 'uri';
    this.theirSet = jwksUri === null ? [] : record.keys.map((key) => publishedAs(key, false).jwk);
    for (const key of record.keys) {
      this.made.set(key.kid, key);
      this.sealed.add(key.thumbprint);
      if (key.state === 'active') this.proven.add(key.kid);
    }
    this.sinks.fill(record.signers.delivered);
  }

  claim(): Held {
    return { record: JSON.parse(this.#stored), version: this.version };
  }

  /** Called after every effect and commit. */
  happened(what: string): void {
    this.trace.push(`${((this.now - START) / 1000).toFixed(1)}s ${what}`);
    this.#watch(this, what);
  }

  /** Refused when the record moved on; `also` happens in the same transaction. */
  commit(held: Held, change: Transition, what: string, also?: () => void): Held | null {
    if (held.version !== this.version) return null;
    also?.();
    this.version += 1;
    this.#stored = JSON.stringify(change.record);
    this.record = JSON.parse(this.#stored);
    this.audit.push(...change.entries);
    this.history.unshift(...(change.ended ?? []));
    this.happened(`commit ${what}`);
    return { record: change.record, version: this.version };
  }

  /** A person, or another program, asks for something. */
  tell(what: string, transition: (record: ClientRecord) => Transition): void {
    const held = this.claim();
    this.commit(held, transition(held.record), what);
  }

  pass(ms: number): void {
    const until = this.now + ms;
    const due = this.late.filter((patch) => patch.arrivesAt <= until).sort((a, b) => a.arrivesAt - b.arrivesAt);
    this.late = this.late.filter((patch) => patch.arrivesAt > until);
    for (const patch of due) {
      this.now = Math.max(this.now, patch.arrivesAt);
      this.apply(patch.document, 'a late PATCH arrives');
    }
    this.now = until;
  }

  apply(document: KeyDocument, what: string): void {
    const { server } = this;
    const body = bodyOf(document);
    if (body.jwks !== undefined) server.keys = body.jwks.keys;
    if (body.public_key_pem !== undefined) server.keys = [{ kty: 'PEM', public_key_pem: body.public_key_pem }];
    if (body.jwks_uri !== undefined) server.jwksUri = body.jwks_uri;
    if (this.mode !== 'kid, uri wins') this.source = 'keys';
    if (body.jwks_uri === undefined) this.noteSent(server.keys);
    else this.source = 'uri';
    server.alg = body.token_endpoint_auth_signing_alg;
    this.happened(`${what}: ${JSON.stringify(this.effective().map((key) => key.kid ?? key.kty))} ${server.alg}`);
  }

  /** What was refused before counts no more once the key is sent again. */
  noteSent(keys: readonly PublicJwk[]): void {
    for (const id of keys.flatMap((jwk) => entryOf(jwk).ids)) {
      this.sent.add(id);
      this.refused.delete(id);
    }
  }

  show(): ObservedClient {
    const { keys, ...others } = this.server;
    return client({ ...others, keys: keys.map(entryOf), updatedAt: new Date(this.now).toISOString() });
  }

  /** The set that the server verifies with. */
  effective(): readonly PublicJwk[] {
    if (this.mode === 'first' || this.source === 'keys') return this.server.keys;
    if (this.server.jwksUri === THEIR_URI) return this.theirSet;
    return this.server.jwksUri === SERVED_URI ? this.servedSet : [];
  }

  /** Whether it takes an assertion that this key signed, with that `kid` in its header (RFC 7515 section 4.1.4). */
  accepts({ id, alg }: Pick<KeyMaterial, 'id' | 'alg'>, name: unknown): boolean {
    if ((this.server.alg ?? 'RS256') !== alg) return false;
    const set = this.effective();
    const named = set.filter((jwk) => jwk.kid === name || jwk.kid === undefined);
    return (this.mode === 'first' ? set.slice(0, 1) : named).some((jwk) => holds(entryOf(jwk), id));
  }

  acceptsKid(kid: string): boolean {
    const key = this.made.get(kid);
    return key !== undefined && this.accepts(key, kid);
  }

  become(signer: Signer): void {
    this.signer = signer;
    this.#heldThen = this.sinks[0] ?? null;
  }

  hear(): Hearing {
    if (this.signer === 'unreadable') return { reports: [], error: 'EIO' };
    const held = this.signer === 'stuck' ? this.#heldThen : (this.sinks[0] ?? null);
    if (this.signer === 'silent' || held === null) return { reports: [], error: null };
    const { current, next, previous } = this.signer === 'lying' ? LIE : held;
    const kids = [current, next, previous].filter((kid) => kid !== null);
    return { reports: [{ name: 'host-1', kids, signing: current, at: this.now }], error: null };
  }

  make(alg: Algorithm): KeyMaterial {
    this.#count += 1;
    const key = material(`k${this.#count}`, alg);
    this.made.set(key.kid, key);
    return key;
  }
}
