/** Values of options, read from what was typed. */
import { InvalidArgumentError } from 'commander';
import { HOLDS_SECRET, holdsSecret } from '../core/private-text.ts';
import { isScope, SCOPES, type TokenScope } from '../core/token.ts';
import { RekeydError } from '../errors.ts';

/** @throws InvalidArgumentError, which commander tells with the option */
export function count(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a whole number, at most 999999.');
}

/** @throws InvalidArgumentError */
export function entryNumber(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give the number of an audit entry.');
}

/** The last entry that somebody has; 0: none. @throws InvalidArgumentError */
export function afterEntry(text: string): number {
  return text === '0' ? 0 : entryNumber(text);
}

/** @throws RekeydError `usage`, and no error of commander: that one would quote the key */
export function reason(text: string): string {
  if (!holdsSecret(text)) return text;
  throw new RekeydError('usage', `--reason ${HOLDS_SECRET}.`);
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/i;

/** RFC 3339, seconds may be left out. Never without a zone: the person who asks may sit in another one than the log. @returns ms since the epoch */
export function time(text: string): number {
  const at = TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(at)) return at;
  throw new InvalidArgumentError('Give a date, a time and a zone, such as 2026-11-27T03:00:00Z.');
}

/**
 * `--scope read rotate` takes every word after it. Each is checked here: of a name that stands there, commander would only say that a name is missing.
 * @throws InvalidArgumentError
 */
export function scopes(text: string, before: readonly TokenScope[] = []): readonly TokenScope[] {
  const given = text.split(',').map((word) => word.trim());
  if (given.every(isScope)) return SCOPES.filter((scope) => before.includes(scope) || given.includes(scope));
  throw new InvalidArgumentError(
    `The scopes are ${SCOPES.join(', ')}. Every word after --scope is taken for one: write the name of the token before it.`,
  );
}

/** An option that may be repeated: one with a list of values would take what stands after it too. */
export function several(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}
