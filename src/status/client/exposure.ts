/** Keys that were reported as compromised: how long each went on signing in, and until when access tokens that were issued with it may live. */
import { formatDuration } from '../../core/duration.ts';
import { exposedSeconds, type RotationSummary } from '../../core/history.ts';
import type { ClientRecord } from '../../core/record.ts';

/** Members as in JSON documents; times are RFC 3339. */
export interface ExposureStatus {
  /** Null: it was not ours. */
  readonly kid: string | null;
  readonly reported_at: string;
  /** When the server was seen to refuse it. */
  readonly refused_at: string | null;
  /** From the report until then. */
  readonly seconds: number | null;
  /** Until when access tokens may live that were issued with it. Null: it is not refused yet, or the server does not tell how long they live. */
  readonly tokens_until: string | null;
}

/** Null: the rotation replaces no key that was reported. */
export function exposureOf({
  replaces,
  exposure,
}: Pick<RotationSummary, 'replaces' | 'exposure'>): ExposureStatus | null {
  if (exposure === undefined) return null;
  const { reportedAt, refusedAt, tokensUntil } = exposure;
  return {
    kid: replaces,
    reported_at: iso(reportedAt),
    refused_at: refusedAt === null ? null : iso(refusedAt),
    seconds: exposedSeconds(exposure),
    tokens_until: tokensUntil === null ? null : iso(tokensUntil),
  };
}

/** Of one client: keys that were reported, the latest first. @param history rotations that ended, the newest first */
export function exposuresOf(
  { retirements }: Pick<ClientRecord, 'retirements'>,
  history: readonly RotationSummary[],
): readonly ExposureStatus[] {
  const going = retirements.map(({ kid, rotation }) => ({ ...rotation, replaces: kid })).reverse();
  return [...going, ...history].map(exposureOf).filter((one) => one !== null);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** For a person, with what to do about access tokens. */
export function exposureLine({ kid, reported_at, seconds, tokens_until }: ExposureStatus): string {
  const key = kid === null ? 'The key in use before' : `Key ${kid}`;
  const refused =
    seconds === null ? 'not seen to be refused' : `refused ${spent(seconds)} later. ${tokensLine(tokens_until)}`;
  return `${key} was reported as COMPROMISED at ${reported_at}: ${refused}`;
}

/** Of all keys of a request. Empty where nothing was reported, or nothing is proven yet. */
export function exposureSummary(exposures: readonly ExposureStatus[]): readonly string[] {
  const refused = exposures.filter(({ seconds }) => seconds !== null);
  if (refused.length === 0) return [];
  const longest = Math.max(...refused.map(({ seconds }) => seconds ?? 0));
  const count = exposures.length === 1 ? 'the old key' : `${refused.length} of ${exposures.length} old keys`;
  const until = refused.map((one) => one.tokens_until);
  const last = until.includes(null) ? null : (until.toSorted().at(-1) ?? null);
  return [`Proven refused: ${count}, ${spent(longest)} after the request at the latest. ${tokensLine(last)}`];
}

function tokensLine(until: string | null): string {
  return until === null
    ? 'The server does not tell how long access tokens live that were issued before: revoke them at the issuer.'
    : `Access tokens that were issued before may live until ${until}.`;
}

/** Below a minute to a tenth of a second. */
function spent(seconds: number): string {
  return seconds < 60 ? `${seconds.toFixed(1)} s` : formatDuration(seconds * 1000);
}
