/** Tells a refusal of this machine's clock from a refusal of the key, by the `Date` of the answer. */
import type { Times } from './claims.ts';
import { SignerError } from './error.ts';

/** ms since the Unix epoch, by this machine's clock. */
export interface Journey {
  readonly sent: number;
  readonly received: number;
}

/** ms. An assertion for a far future would be good to steal, so a server's word does not go further. */
export const MOST_CORRECTED = 15 * 60_000;

/** A `Date` header leaves out what is less than a second (RFC 9110 section 5.6.7). */
const SECOND = 1_000;

/**
 * What has to be added to this machine's clock, in ms, when the server refused an assertion that is not valid by the server's own clock. Null: it is
 * valid there, so its times are not why it was refused.
 * @param date of the answer, ms since the Unix epoch
 */
export function correctionAfter(date: number, times: Times, { sent, received }: Journey): number | null {
  const isValid = times.iat * 1000 <= date + SECOND && times.exp * 1000 > date;
  if (isValid) return null;
  // The server wrote its Date between the two: of the corrections that explain it, the smallest.
  const [least, most] = [date - received, date + SECOND - sent];
  if (least > 0) return least;
  return Math.min(most, 0);
}

export function clockError(correction: number): SignerError {
  const seconds = Math.round(Math.abs(correction) / 1000);
  const distance = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  const isCorrected = Math.abs(correction) <= MOST_CORRECTED;
  const consequence = isCorrected
    ? 'The assertion is sent again with times by the server’s clock, and the next ones have them too if it is accepted.'
    : `More than ${MOST_CORRECTED / 60_000} min are not corrected, so sign-ins fail.`;
  return new SignerError(
    'clock',
    `This machine’s clock is ${distance} ${correction < 0 ? 'ahead of' : 'behind'} the server’s, which refused an assertion for its times. The key may be good. ${consequence} Set the clock, and keep it right with NTP.`,
  );
}
