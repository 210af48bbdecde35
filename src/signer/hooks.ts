/** Client authentication for the HTTP clients that applications have: openid-client, oauth4webapi, and `fetch`. */
import { decodeJwt } from 'jose';
import { SignerError } from './error.ts';
import type { Signer } from './signer.ts';

/** Value of `client_assertion_type` beside the assertion (RFC 7523 section 2.2). */
export const CLIENT_ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** What the hook reads of a server's metadata (RFC 8414). */
export interface ServerMetadata {
  readonly issuer: string;
  readonly token_endpoint?: string | undefined;
}

export interface ClientAuthOptions {
  /** The `aud` claim; the server's issuer when absent. */
  readonly audience?: string | ((server: ServerMetadata) => string);
}

/**
 * A `ClientAuth` for openid-client 6 and oauth4webapi 3, in the place of `PrivateKeyJwt(key)`. It signs; what tries the other key is {@link signingFetch},
 * which belongs beside it as their `customFetch`.
 *
 * @throws (the hook) SignerError `other_client` when the request is made as another client than the one of the key folder
 */
export function clientAuth(signer: Signer, { audience }: ClientAuthOptions = {}) {
  return async (
    server: ServerMetadata,
    client: { readonly client_id: string },
    body: URLSearchParams,
    _headers: Headers,
  ): Promise<void> => {
    if (client.client_id !== signer.clientId) {
      throw new SignerError(
        'other_client',
        `The key folder holds the keys of the client ${signer.clientId}, but this request is made as ${client.client_id}. Use signer.clientId as the client id, or open the folder of the other client.`,
      );
    }
    const aud = typeof audience === 'function' ? audience(server) : (audience ?? server.issuer);
    const { assertion } = await signer.assertion({ audience: aud });
    authenticateForm(body, signer.clientId, assertion);
  };
}

/** As `RequestInit`, as wide as openid-client and oauth4webapi have it: members may be undefined, and bodies are typed otherwise than by the DOM's types. */
export type FetchInit = { [Name in Exclude<keyof RequestInit, 'body'>]?: RequestInit[Name] | undefined } & {
  body?: unknown;
};

export interface FetchOptions {
  /** The `aud` claim. When absent, that of the assertion which the request has already, or else the request's URL. */
  readonly audience?: string | ((url: string) => string);
  /** Makes the requests; the global one when absent. */
  readonly fetch?: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
}

/**
 * A `fetch` that authenticates the client: to each request with a body of `URLSearchParams` it adds `client_id`, `client_assertion_type` and
 * `client_assertion`, and when the server refuses the key it makes the request once more with the other one (see {@link Signer.authenticate}).
 * Any other request it makes as it is; so also a form with an `Authorization` header, which calls an API with a token: that call must not be
 * made twice, and the API gets no assertion.
 */
export function signingFetch(signer: Signer, { audience, fetch: send = fetch }: FetchOptions = {}) {
  return async (input: string | URL | Request, init?: FetchInit): Promise<Response> => {
    const form = init?.body;
    if (!(form instanceof URLSearchParams)) return send(input, requestInit(init));
    if (!form.has('client_assertion') && isAuthorized(input, init)) return send(input, requestInit(init));
    const url = input instanceof Request ? input.url : String(input);
    const given = typeof audience === 'function' ? audience(url) : audience;
    return signer.authenticate(
      (assertion) => {
        const body = new URLSearchParams(form);
        authenticateForm(body, signer.clientId, assertion);
        return send(input, requestInit({ ...init, body }));
      },
      { audience: given ?? audienceIn(form) ?? url },
    );
  };
}

function isAuthorized(input: string | URL | Request, init: FetchInit = {}): boolean {
  return new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined)).has('authorization');
}

function requestInit(init: FetchInit = {}): RequestInit {
  return init as RequestInit; // handed on as it came: `fetch` itself refuses what is none
}

function authenticateForm(body: URLSearchParams, clientId: string, assertion: string): void {
  body.set('client_id', clientId);
  body.set('client_assertion_type', CLIENT_ASSERTION_TYPE);
  body.set('client_assertion', assertion);
}

function audienceIn(form: URLSearchParams): string | undefined {
  const assertion = form.get('client_assertion');
  const aud = assertion === null ? undefined : decodeJwt(assertion).aud;
  return typeof aud === 'string' ? aud : undefined;
}
