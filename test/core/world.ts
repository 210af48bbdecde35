/**
 * A simulated world for the core: a store with compare-and-set, a server that lets PATCHes arrive late, two places where signers find their
 * keys, and a place for the public set.
 */
import type { AuditDraft } from '../../src/core/audit.ts';
import type { Change } from '../../src/core/change.ts';
import type { KeyDocument, ObservedClient, PublicJwk } from '../../src/core/document.ts';
import { samePublicKey } from '../../src/core/public-key.ts';
import type { Algorithm, ClientRecord, Delivery } from '../../src/core/record.ts';
import { client, type Material, material, SERVED_URI, START } from './support.ts';

/**
 * `kid`: takes every published key whose alg fits, of the source that was set last. `kid, uri wins`: the same, and a `jwks_uri` once set counts for ever.
 * `first`: takes the first key only, and knows no `jwks_uri`.
 */
export type ServerMode = 'kid' | 'kid, uri wins' | 'first';

interface Late {
  readonly document: KeyDocument;
  readonly arrivesAt: number;
}

export interface Held {
  readonly record: ClientRecord;
  readonly version: number;
}

export class World {
  now = START;
  version = 0;
  readonly audit: AuditDraft[] = [];
  readonly server: { alg: string | null; jwksUri: string | null; keys: readonly PublicJwk[] };
  /** Which of its two sources the server verifies with: the one that was set last. */
  source: 'keys' | 'uri' = 'keys';
  late: Late[] = [];
  servedSet: readonly PublicJwk[] = [];
  /** Thumbprints of the private halves in the store. */
  readonly sealed = new Set<string>();
  readonly made = new Map<string, Material>();
  readonly proven = new Set<string>();
  readonly sinks: (Delivery | null)[] = [null, null];
  readonly trace: string[] = [];
  readonly mode: ServerMode;
  /** As it was last read back from the store. */
  record: ClientRecord;
  #stored: string;
  readonly #watch: (world: World, what: string) => void;

  constructor(mode: ServerMode, record: ClientRecord, watch: (world: World, what: string) => void) {
    this.mode = mode;
    this.#stored = JSON.stringify(record);
    this.record = record;
    this.#watch = watch;
    const { alg, jwksUri, keys } = record.observed.client;
    this.server = { alg, jwksUri, keys };
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
  commit(held: Held, change: Change, what: string, also?: () => void): Held | null {
    if (held.version !== this.version) return null;
    also?.();
    this.version += 1;
    this.#stored = JSON.stringify(change.record);
    this.record = JSON.parse(this.#stored);
    this.audit.push(...change.entries);
    this.happened(`commit ${what}`);
    return { record: change.record, version: this.version };
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
    if (document.jwks !== undefined) server.keys = document.jwks.keys;
    if (document.public_key_pem !== undefined) {
      server.keys = [{ kty: 'PEM', public_key_pem: document.public_key_pem }];
    }
    if (document.jwks_uri !== undefined) server.jwksUri = document.jwks_uri;
    if (this.mode !== 'kid, uri wins') this.source = 'keys';
    if (document.jwks_uri !== undefined) this.source = 'uri';
    server.alg = document.token_endpoint_auth_signing_alg;
    this.happened(`${what}: ${JSON.stringify(this.effective().map((key) => key.kid ?? key.kty))} ${server.alg}`);
  }

  show(): ObservedClient {
    return client({ ...this.server, updatedAt: new Date(this.now).toISOString() });
  }

  /** The set that the server verifies with. */
  effective(): readonly PublicJwk[] {
    if (this.mode === 'first' || this.source === 'keys') return this.server.keys;
    return this.server.jwksUri === SERVED_URI ? this.servedSet : [];
  }

  accepts(jwk: PublicJwk, pem: string, alg: string): boolean {
    if ((this.server.alg ?? 'RS256') !== alg) return false;
    const set = this.mode === 'first' ? this.effective().slice(0, 1) : this.effective();
    return set.some((key) => samePublicKey(key, { ...jwk, public_key_pem: pem }));
  }

  acceptsKid(kid: string): boolean {
    const key = this.made.get(kid);
    return key !== undefined && this.accepts(key.jwk, key.pem, key.alg);
  }

  make(alg: Algorithm): Material {
    const key = material(`k${this.made.size + 1}`, alg);
    this.made.set(key.kid, key);
    return key;
  }
}
