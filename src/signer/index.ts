/**
 * `@rekeyd/signer`: signs the client assertions of an application with the keys that rekeyd rotates.
 *
 * ```ts
 * const signer = await openSigner('/var/lib/rekeyd/keys/185019846023/mcp-auth/4711');
 * const response = await signer.authenticate(
 *   (assertion) => fetch(tokenUrl, { method: 'POST', body: tokenRequest(assertion) }),
 *   { audience: tokenUrl },
 * );
 * ```
 */
export { SignerError, type SignerErrorCode } from './error.ts';
export type { KeyRole } from './folder.ts';
export {
  CLIENT_ASSERTION_TYPE,
  type ClientAuthOptions,
  clientAuth,
  type FetchInit,
  type FetchOptions,
  type ServerMetadata,
  signingFetch,
} from './hooks.ts';
export type { Answer } from './refusal.ts';
export { type AssertionOptions, type KeyInfo, openSigner, type Signer, type SignerOptions } from './signer.ts';
