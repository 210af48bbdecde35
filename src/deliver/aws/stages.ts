/**
 * Which version of a secret has which stage, and the next step to what it should be. AWS has one value in a version, so each has one key: `AWSCURRENT` is the
 * key that signs, `AWSPENDING` the next one, `AWSPREVIOUS` the one before.
 */
import { createHash } from 'node:crypto';
import { keyTexts } from '../key-set.ts';
import type { SinkContents, SinkKey } from '../sink.ts';

export const STAGES = ['AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS'] as const;

export type Stage = (typeof STAGES)[number];

export interface Version {
  /** The same key of the same client has the same id: a put that is repeated changes nothing. */
  readonly id: string;
  /** Its value, a JSON text. */
  value(): string;
}

/** Null: no version has the stage. AWS always has an `AWSCURRENT`: without a key, it is a version that holds none. */
export type Wanted = { readonly AWSCURRENT: Version } & Readonly<Record<Exclude<Stage, 'AWSCURRENT'>, Version | null>>;

export function wantedBy(contents: SinkContents): Wanted {
  const { current, next, previous } = contents;
  return {
    AWSCURRENT: versionOf(current, contents),
    AWSPENDING: next === null ? null : versionOf(next, contents),
    AWSPREVIOUS: previous === null ? null : versionOf(previous, contents),
  };
}

function versionOf(key: SinkKey | null, { clientId, issuer }: SinkContents): Version {
  const about = { client_id: clientId, issuer, alg: key?.alg ?? null, kid: key?.kid ?? null };
  const id = createHash('sha256')
    .update(JSON.stringify([about, key?.jwk]))
    .digest('hex');
  return { id, value: () => JSON.stringify({ ...about, ...(key !== null && keyTexts(key)) }) };
}

/** Version ids by stage. */
export type Held = Readonly<Partial<Record<Stage, string>>>;

export type StageStep =
  | { readonly do: 'put'; readonly version: Version }
  /** `from` has the stage now; null: none has. `to` null: no version has it afterwards. */
  | { readonly do: 'move'; readonly stage: Stage; readonly from: string | null; readonly to: string | null };

/**
 * Null: the stages are as they should be. A version is put before a stage moves to it; `AWSCURRENT` moves first of all, because AWS moves `AWSPREVIOUS` with it.
 * @param put ids of versions that this delivery has put: AWS lists no version without a stage
 */
export function nextStep(wanted: Wanted, held: Held, put: ReadonlySet<string>): StageStep | null {
  const known = new Set([...put, ...Object.values(held)]);
  for (const stage of STAGES) {
    const version = wanted[stage];
    if (version !== null && !known.has(version.id)) return { do: 'put', version };
  }
  for (const stage of STAGES) {
    const [from, to] = [held[stage] ?? null, wanted[stage]?.id ?? null];
    if (from !== to) return { do: 'move', stage, from, to };
  }
  return null;
}

/** A hash of which version has which stage. */
export function stagesText(held: Held): string {
  return createHash('sha256')
    .update(STAGES.map((stage) => held[stage] ?? '-').join(' '))
    .digest('base64url');
}
