import { randomBytes } from 'node:crypto';
import { refusal } from './answer.ts';
import { BLANK, changedSettings, newSettings, type StoredClient } from './clients.ts';
import type { Credential } from './credentials.ts';
import type { CreateBody, UpdateBody } from './wire.ts';

/**
 * How an app picks the key that checks a client assertion, and what it says of one that it refuses. `wacht` is the real server (the first JWK
 * that has the member `public_key_pem`, RS256 to RS512, ES256 and ES384, each refusal in its own words). The others are variants: `first_pem`
 * takes the first JWK with a PEM, one key at a time, and `jwks_kid` is a server that follows RFC 7517 (by `kid`, several keys at a time).
 */
export type Selection = 'wacht' | 'first_pem' | 'jwks_kid';

export interface App {
  readonly id: string;
  readonly deployment: string;
  readonly slug: string;
  readonly name: string;
  readonly fqdn: string;
  /** May be changed while the emulator runs: the platform got another release. */
  selection: Selection;
  /** False: its OAuth endpoints are not there; its clients can still be managed. */
  readonly isActive: boolean;
  readonly createdAt: string;
  /** By row id, oldest first. */
  readonly clients: Map<string, StoredClient>;
}

export interface NewApp {
  readonly deployment: string;
  readonly slug: string;
  /** Default: the next one that is free. */
  readonly id?: string;
  /** Default: `slug`. */
  readonly name?: string;
  /** Default: `{slug}.example.com`. */
  readonly fqdn?: string;
  /** Default: `wacht`. */
  readonly selection?: Selection;
  /** Default: true. */
  readonly isActive?: boolean;
}

/** A client that an earlier emulator held; members that it did not have yet may be missing. */
export type KeptClient = Pick<StoredClient, 'id' | 'client_id' | 'client_auth_method'> & Partial<StoredClient>;

/** Everything the server has stored. All changes happen here and in one step each, like the single UPDATE statement of the platform. */
export class State {
  /** By what the caller sends. */
  readonly credentials = new Map<string, Credential>();
  readonly #now: () => number;
  readonly #apps = new Map<string, Map<string, App>>();
  readonly #byFqdn = new Map<string, App>();
  /** OAuth `client_id` → row id; unique in the whole emulator. */
  readonly #rows = new Map<string, string>();
  /** Row id → client secret. */
  readonly #secrets = new Map<string, string>();
  /** Client and `jti` of every assertion accepted → until when it is remembered, in seconds. */
  readonly #spent = new Map<string, number>();
  #sweepAt = 10_000;
  // Far above 2^53 and without gaps: an id that passed through a JavaScript number meets its neighbour's.
  #lastId = 185_019_846_023_000_000n;
  #lastStamp = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  addApp(app: NewApp): App {
    const apps = this.#apps.get(app.deployment) ?? new Map<string, App>();
    const fqdn = app.fqdn ?? `${app.slug}.example.com`;
    if (apps.has(app.slug) || this.#byFqdn.has(fqdn)) throw new Error(`app ${app.slug} or host ${fqdn} exists already`);
    if (app.id !== undefined) this.#passId(app.id);
    const added: App = {
      id: app.id ?? this.#nextId(),
      deployment: app.deployment,
      slug: app.slug,
      name: app.name ?? app.slug,
      fqdn,
      selection: app.selection ?? 'wacht',
      isActive: app.isActive ?? true,
      createdAt: this.#stamp(),
      clients: new Map(),
    };
    this.#apps.set(app.deployment, apps.set(app.slug, added));
    this.#byFqdn.set(fqdn, added);
    return added;
  }

  /** Oldest first. */
  apps(deployment: string): App[] {
    return [...(this.#apps.get(deployment)?.values() ?? [])];
  }

  findApp(deployment: string, slug: string): App | undefined {
    return this.#apps.get(deployment)?.get(slug);
  }

  /** @throws Refusal 404 */
  app(deployment: string, slug: string): App {
    const app = this.findApp(deployment, slug);
    if (app === undefined) throw refusal(404, 'OAuth app not found');
    return app;
  }

  /** The app whose OAuth endpoints are at that host, which is compared letter by letter. */
  appOfHost(fqdn: string): App | undefined {
    const app = this.#byFqdn.get(fqdn);
    return app?.isActive ? app : undefined;
  }

  /** @throws Refusal 404 */
  client(app: App, id: string): StoredClient {
    const client = app.clients.get(id);
    if (client === undefined) throw refusal(404, 'OAuth client not found');
    return client;
  }

  clientById(app: App, clientId: string): StoredClient | undefined {
    const id = this.#rows.get(clientId);
    return id === undefined ? undefined : app.clients.get(id);
  }

  secretOf(client: StoredClient): string | undefined {
    return this.#secrets.get(client.id);
  }

  /** A client that is to sign in with a secret gets one. @throws Refusal 400, 500 */
  create(app: App, body: CreateBody): StoredClient {
    const settings = newSettings(body);
    const stamp = this.#stamp();
    const client: StoredClient = {
      ...BLANK,
      ...settings,
      id: this.#nextId(),
      oauth_app_id: app.id,
      client_id: `oc_${randomBytes(24).toString('base64url')}`,
      created_at: stamp,
      updated_at: stamp,
    };
    if (client.client_auth_method.startsWith('client_secret')) {
      this.#secrets.set(client.id, `oc_secret_${randomBytes(32).toString('base64url')}`);
    }
    this.#put(app, client);
    return client;
  }

  /** With its ids. */
  restore(app: App, client: KeptClient): void {
    this.#passId(client.id);
    this.#put(app, { ...BLANK, ...client });
  }

  /** The last writer wins: nothing is compared with what the caller has seen. @throws Refusal 400, 404, 500 */
  patch(app: App, id: string, body: UpdateBody): StoredClient {
    const current = this.client(app, id);
    return this.#put(app, { ...current, ...changedSettings(current, body), updated_at: this.#stamp() });
  }

  /** @throws Refusal 404 */
  deactivate(app: App, id: string): void {
    const current = this.client(app, id);
    if (!current.is_active) throw refusal(404, 'OAuth client not found or already inactive');
    this.#put(app, { ...current, is_active: false, updated_at: this.#stamp() });
  }

  /** False when `jti` (of that client) was spent before and is still remembered. `until` is in seconds since the epoch. */
  spend(jti: string, until: number): boolean {
    const now = this.#now() / 1000;
    if ((this.#spent.get(jti) ?? 0) > now) return false;
    this.#spent.set(jti, until);
    if (this.#spent.size > this.#sweepAt) {
      for (const [spent, end] of this.#spent) if (end <= now) this.#spent.delete(spent);
      this.#sweepAt = Math.max(10_000, this.#spent.size * 2);
    }
    return true;
  }

  #put(app: App, client: StoredClient): StoredClient {
    app.clients.set(client.id, client);
    this.#rows.set(client.client_id, client.id);
    return client;
  }

  #nextId(): string {
    this.#lastId += 1n;
    return String(this.#lastId);
  }

  #passId(id: string): void {
    if (BigInt(id) > this.#lastId) this.#lastId = BigInt(id);
  }

  /** RFC 3339 with microseconds, later than every stamp before: `updated_at` moves even when the clock stands still. */
  #stamp(): string {
    this.#lastStamp = Math.max(this.#now() * 1000, this.#lastStamp + 1);
    const micros = String(this.#lastStamp % 1000).padStart(3, '0');
    return new Date(Math.floor(this.#lastStamp / 1000)).toISOString().replace('Z', `${micros}Z`);
  }
}
