/** What the tests use of oidc-provider, which has no types of its own. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http';

  export interface Adapter {
    find(id: string): Promise<object | undefined>;
    upsert(id: string, payload: object, expiresIn?: number): Promise<void>;
    findByUid(uid: string): Promise<object | undefined>;
    findByUserCode(code: string): Promise<object | undefined>;
    consume(id: string): Promise<void>;
    destroy(id: string): Promise<void>;
    revokeByGrantId(id: string): Promise<void>;
  }

  export default class Provider {
    constructor(issuer: string, configuration: object);
    callback(): (request: IncomingMessage, response: ServerResponse) => void;
    on(event: string, listener: (...values: unknown[]) => void): this;
    /** Its clients, made of what the adapter finds and kept for as long as that does not change. */
    readonly Client: Clients;
  }

  export interface Clients {
    find(id: string): Promise<{ readonly asymmetricKeyStore: ClientKeys } | undefined>;
  }

  /** The keys of one client. */
  export interface ClientKeys {
    readonly jwksUri: string | undefined;
    /** Seconds since the Unix epoch: until then a set that was fetched from `jwks_uri` is not fetched again. */
    freshUntil?: number;
    fresh(): boolean;
  }
}
