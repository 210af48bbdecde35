/** Bearer tokens of the HTTP API: what one may do, for whom and until when. A pure list; who keeps it is {@link ../store/tokens.ts}. */
import { RekeydError } from '../errors.ts';
import { APP_PATH, REFERENCE } from './client.ts';

export const SCOPES = ['rotate', 'read', 'metrics'] as const;

export type TokenScope = (typeof SCOPES)[number];

export interface Token {
  /** Unique among the tokens. It is what the audit log says. */
  readonly name: string;
  /** SHA-256 of the value, base64url. A value has 256 random bits, so no salt is needed. */
  readonly hash: string;
  readonly scopes: readonly TokenScope[];
  /** An app (`deployment/slug`) or a client reference that it is restricted to; null: all. */
  readonly only: string | null;
  /** ms since the epoch */
  readonly createdAt: number;
  /** From then on it is refused, ms since the epoch. */
  readonly expiresAt: number;
  /** Who made it. */
  readonly by: string;
}

export interface TokenList {
  readonly v: 1;
  /** The id of the store that it was made for: one that replaces a lost store takes no token of that one. */
  readonly store: string;
  /** Grows with each change, so that an older list is known as one. */
  readonly serial: number;
  readonly tokens: readonly Token[];
}

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** How a value begins, so that people and scanners know one when they see it. */
export const VALUE_PREFIX = 'rekeyd_';

/** 256 bits in base64url, after the prefix: the source of a regular expression. */
export const VALUE_PATTERN = `${VALUE_PREFIX}[A-Za-z0-9_-]{43}`;

const VALUE = new RegExp(`^${VALUE_PATTERN}$`);

export function isTokenValue(text: string): boolean {
  return VALUE.test(text);
}

export function isScope(text: string): text is TokenScope {
  return SCOPES.some((scope) => scope === text);
}

/** @throws RekeydError `usage` when the name is not one, or taken by a token that has not expired */
export function withToken(list: TokenList, token: Token): TokenList {
  const { name, only } = token;
  if (!NAME.test(name)) {
    throw new RekeydError('usage', 'A token’s name is 1 to 63 lower-case letters, digits and hyphens, such as siem-1.');
  }
  if (only !== null && !APP_PATH.test(only) && !REFERENCE.test(only)) {
    throw new RekeydError('usage', 'A token is restricted to an app (deployment/app-slug) or a client reference.');
  }
  const present = list.tokens.find((other) => other.name === name);
  if (present !== undefined && present.expiresAt > token.createdAt) {
    throw new RekeydError(
      'usage',
      `There is a token ${name} already. Take another name, or revoke it first: \`rekeyd token revoke ${name}\`.`,
    );
  }
  return changed(list, [...list.tokens.filter((other) => other.name !== name), token]);
}

/** @throws RekeydError `not_found` */
export function withoutToken(list: TokenList, name: string): TokenList {
  const rest = list.tokens.filter((token) => token.name !== name);
  if (rest.length === list.tokens.length) {
    throw new RekeydError('not_found', `There is no token ${name}. \`rekeyd token list\` shows them.`);
  }
  return changed(list, rest);
}

function changed(list: TokenList, tokens: readonly Token[]): TokenList {
  return { ...list, serial: list.serial + 1, tokens };
}

/** What a token may be used for: everything of an app, or of a client, that it is restricted to. */
export function covers(
  { only }: Pick<Token, 'only'>,
  what: { readonly app: string; readonly client?: string },
): boolean {
  return only === null || only === what.app || only === what.client;
}
