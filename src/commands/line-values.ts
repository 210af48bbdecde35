/** Values of options, read from what was typed. */
import { InvalidArgumentError } from 'commander';
import { HOLDS_KEY, holdsPrivateKey } from '../core/private-text.ts';
import { RekeydError } from '../errors.ts';

/** @throws InvalidArgumentError, which commander tells with the option */
export function count(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a whole number.');
}

/** @throws RekeydError `usage`, and no error of commander: that one would quote the key */
export function reason(text: string): string {
  if (!holdsPrivateKey(text)) return text;
  throw new RekeydError('usage', `--reason ${HOLDS_KEY}.`);
}
