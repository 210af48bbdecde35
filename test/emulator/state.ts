import { randomBytes } from 'node:crypto';
import { refusal } from './answer.ts';
import { changedSettings, newSettings, type StoredClient } from './clients.ts';
import { readClientBody } from './wire.ts';

/**
 * How an app picks the key that checks a client assertion: `first_pem` is Wacht as observed (the first JWK with a PEM, one key at a time),
 * `jwks_kid` a server that follows RFC 7517 (by `kid`, several keys at a time).
 */
export type Selection = 'first_pem' | 'jwks_kid';

export interface App {
  readonly id: string;
  readonly deployment: string;
  readonly slug: string;
  readonly fqdn: string;
  /** May be changed while the emulator runs: the platform got another release. */
  selection: Selection;
  readonly createdAt: string;
  /** By row id, oldest first. */
  readonly clients: Map<string, StoredClient>;
}

export interface NewApp {
  readonly deployment: string;
  readonly slug: string;
  /** Default: `{slug}.example.com`. */
  readonly fqdn?: string;
  /** Default: `first_pem`. */
  readonly selection?: Selection;
}

/** The members of a create or PATCH body, as a caller writes them; read with the server's own strictness. */
export type ClientMembers = Readonly<Record<string, unknown>>;

export interface ApiKey {
  readonly deployment: string;
  /** A read-only key is refused with 403 on anything but GET. */
  readonly access: 'read' | 'write';
}

/** Everything the server has stored. All changes happen here and in one step each, like the single UPDATE statement of the platform. */
export class State {
  readonly apiKeys = new Map<string, ApiKey>();
  readonly #now: () => number;
  readonly #apps = new Map<string, Map<string, App>>();
  readonly #byFqdn = new Map<string, App>();
  /** OAuth `client_id` → row id; unique in the whole emulator. */
  readonly #rows = new Map<string, string>();
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
    const added: App = {
      id: this.#nextId(),
      deployment: app.deployment,
      slug: app.slug,
      fqdn,
      selection: app.selection ?? 'first_pem',
      createdAt: this.#stamp(),
      clients: new Map(),
    };
    this.#apps.set(app.deployment, apps.set(app.slug, added));
    this.#byFqdn.set(fqdn, added);
    return added;
  }

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

  appOfHost(fqdn: string): App | undefined {
    return this.#byFqdn.get(fqdn);
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

  /** @throws Refusal 400, 422 */
  create(app: App, members: unknown): StoredClient {
    const settings = newSettings(readClientBody(members));
    const stamp = this.#stamp();
    const client: StoredClient = {
      id: this.#nextId(),
      oauth_app_id: app.id,
      client_id: `oc_${randomBytes(24).toString('base64url')}`,
      ...settings,
      is_active: true,
      created_at: stamp,
      updated_at: stamp,
    };
    app.clients.set(client.id, client);
    this.#rows.set(client.client_id, client.id);
    return client;
  }

  /** A client that another emulator held, with its ids. */
  restore(app: App, client: StoredClient): void {
    app.clients.set(client.id, client);
    this.#rows.set(client.client_id, client.id);
    if (BigInt(client.id) > this.#lastId) this.#lastId = BigInt(client.id);
  }

  /** The last writer wins: nothing is compared with what the caller has seen. @throws Refusal 400, 404, 422 */
  patch(app: App, id: string, members: unknown): StoredClient {
    const body = readClientBody(members);
    const current = this.#active(app, id);
    return this.#put(app, { ...current, ...changedSettings(current, body) });
  }

  /** @throws Refusal 404 */
  deactivate(app: App, id: string): void {
    this.#put(app, { ...this.#active(app, id), is_active: false });
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

  #active(app: App, id: string): StoredClient {
    const client = this.client(app, id);
    if (!client.is_active) throw refusal(404, 'OAuth client not found or inactive');
    return client;
  }

  #put(app: App, client: StoredClient): StoredClient {
    const stamped = { ...client, updated_at: this.#stamp() };
    app.clients.set(client.id, stamped);
    return stamped;
  }

  #nextId(): string {
    this.#lastId += 1n;
    return String(this.#lastId);
  }

  /** RFC 3339 with microseconds, later than every stamp before: `updated_at` moves even when the clock stands still. */
  #stamp(): string {
    this.#lastStamp = Math.max(this.#now() * 1000, this.#lastStamp + 1);
    const micros = String(this.#lastStamp % 1000).padStart(3, '0');
    return new Date(Math.floor(this.#lastStamp / 1000)).toISOString().replace('Z', `${micros}Z`);
  }
}
