/** Which reports of signers count, and when signers are heard again. */
import type { ClientRecord } from './record.ts';
import type { SignerReport } from './signers.ts';

/** An older report, in ms, is of a signer that may be gone. */
export const RECENT_MS = 120_000;

/** A report may be from this far in the future, in ms: clocks differ a little. */
const AHEAD_MS = 10_000;

/** What waits for signers hears them again after a tenth of its wait, within these bounds, in ms: soon at first, and a long wait costs little. */
const SOONEST_MS = 1_000;
const LATEST_MS = 30_000;

export function isRecent({ at }: Pick<SignerReport, 'at'>, now: number): boolean {
  return at > now - RECENT_MS && at <= now + AHEAD_MS;
}

/** Of the reports that were read last, those that count now. */
export function recentReports({ signers }: ClientRecord, now: number): readonly SignerReport[] {
  return (signers.reported?.signers ?? []).filter((report) => isRecent(report, now));
}

/**
 * When something that has waited for signers since `since` hears them again, ms since the Unix epoch. Never later than a while from now: the store's clock
 * may have been set back.
 */
export function nextHearing({ signers: { reported } }: ClientRecord, since: number, now: number): number {
  if (reported === undefined || reported.at > now) return now;
  return reported.at + Math.min(LATEST_MS, Math.max(SOONEST_MS, (reported.at - since) / 10));
}

/** Names of a few signers for a message. */
export function named(reports: readonly SignerReport[]): string {
  const names = reports.slice(0, 5).map(({ name }) => name);
  return reports.length > names.length
    ? `${names.join(', ')} and ${reports.length - names.length} more`
    : names.join(', ');
}
