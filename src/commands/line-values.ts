/** Values of options, read from what was typed. */
import { InvalidArgumentError } from 'commander';

/** @throws InvalidArgumentError, which commander tells with the option */
export function count(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a whole number.');
}
