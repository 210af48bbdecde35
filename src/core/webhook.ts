/** What is decided about a webhook: which entries it is told of, when a failed delivery is tried again, and when it is given up. */
import type { AuditEntry } from './audit.ts';
import { splitReference } from './client.ts';
import { covers } from './token.ts';

/** How far a webhook is, as the store keeps it. Times are ms since the epoch on the store's clock. */
export interface WebhookState {
  /** The newest entry that is delivered, dead, or not wanted. */
  readonly cursor: number;
  /** Failures in a row. */
  readonly tries: number;
  /** When the first of them was; null: the last delivery succeeded. */
  readonly failingSince: number | null;
  /** Nothing is sent before. */
  readonly nextAt: number | null;
  /** Of the last failure. */
  readonly error: string | null;
  /** The receiver asked for nothing more (410). `config`: the fingerprint of the settings that it said so to. */
  readonly stopped: { readonly why: string; readonly config: string } | null;
  /** Dead letters that were dropped because there were too many. */
  readonly dropped: number;
}

/** An entry that was given up. It holds the entry itself, which retention may have cut from the log by now. */
export interface DeadLetter {
  readonly entry: AuditEntry;
  readonly why: string;
  /** When it was given up. */
  readonly at: number;
}

/** More are not kept: the oldest are dropped, and counted. */
export const MOST_DEAD = 1_000;

export interface Wanted {
  /** Audit types, or `prefix.*`. Empty: all but checkpoints, which come every few seconds. */
  readonly events: readonly string[];
  /** Apps and clients. Empty: all. Entries about no client are told to all. */
  readonly only: readonly string[];
}

export function isWanted({ type, client }: Pick<AuditEntry, 'type' | 'client'>, { events, only }: Wanted): boolean {
  const isOfType = events.length === 0 ? type !== 'audit.sealed' : events.some((event) => isOf(type, event));
  return isOfType && (only.length === 0 || client === null || only.some((place) => isIn(client, place)));
}

function isOf(type: string, event: string): boolean {
  return event.endsWith('.*') ? type.startsWith(event.slice(0, -1)) : type === event;
}

function isIn(client: NonNullable<AuditEntry['client']>, only: string): boolean {
  const { deployment, app } = splitReference(client);
  return covers({ only }, { app: `${deployment}/${app}`, client });
}

const [SECOND, MINUTE] = [1_000, 60_000];

/**
 * After each failure in a row, in ms; the last one repeats. Standard Webhooks proposes waits of up to a day for each message. Here a message holds up those
 * after it, and the receiver should hear of them soon after it is back.
 */
const DELAYS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 60 * MINUTE];

/** A receiver's wish to be left alone is a hint: never longer than this, in ms. */
export const MOST_WISHED_MS = 60 * MINUTE;

/**
 * @param tries failures in a row, this one included
 * @param luck from 0 to 1: spreads receivers that failed together
 * @param wishedMs how long the receiver asks to be left alone; null: it does not
 */
export function retryDelay(tries: number, luck: number, wishedMs: number | null = null): number {
  const planned = DELAYS[Math.min(tries, DELAYS.length) - 1] ?? 5 * SECOND;
  const spread = Math.round(planned * (0.9 + 0.2 * luck));
  return Math.max(spread, Math.min(wishedMs ?? 0, MOST_WISHED_MS));
}

/** The first of {@link DELAYS}: what comes after a dead letter is tried soon, since the fault may have been that entry's own. */
export const AFTER_DEAD_MS = 5 * SECOND;

/** Whether an entry that was tried, in vain, is too old to be tried again. @param now on the store's clock */
export function isTooOld({ time }: Pick<AuditEntry, 'time'>, now: number, giveUpMs: number): boolean {
  return now - Date.parse(time) >= giveUpMs;
}
