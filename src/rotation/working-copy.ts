/** The record of one client while a run works on it: what is committed, what is not yet, and the time by the store's clock. */
import type { Action } from '../core/action.ts';
import type { ClientRef } from '../core/client.ts';
import { isNoNews } from '../core/heard.ts';
import type { ClientPolicy, Context } from '../core/policy.ts';
import type { ClientRecord } from '../core/record.ts';
import type { Loaded, Records } from '../store/records.ts';
import { monotonic } from '../time.ts';
import { type Change, commitOf, merged } from './commit.ts';
import { decide } from './decide.ts';

export interface CopyTools {
  readonly store: Pick<Records, 'commit'>;
  readonly random: () => number;
  /** Told before and after every effect and commit, as `<step>:<before|after> <effect|commit>`; the run goes on when it returns. */
  readonly onPoint?: (point: string, ref: ClientRef) => void | Promise<void>;
  /** Told what was committed, and the record before it. */
  readonly onCommit?: (change: Change, before: ClientRecord) => void;
}

/** The step that comes next, and the record that it is about. */
export interface Next {
  readonly action: Action;
  readonly record: ClientRecord;
}

export interface WorkingCopy {
  readonly ref: ClientRef;
  readonly policy: ClientPolicy;
  /** As the last commit of this run, or its claim, left it. */
  readonly committed: Loaded;
  /** See {@link ./run.ts}. */
  now(): number;
  latest(): number;
  context(): Context;
  /** Takes the steps that change nothing outside the record, and stops at the first one that does. */
  decide(): Next;
  /** To what is not committed yet. */
  add(change: Change): void;
  /** Reports that say the same as before are no reason for a commit. */
  dropNoNews(): void;
  /** Commits what is not committed yet; nothing when there is none. @throws RekeydError as the store does */
  save(name: string, durable: boolean): Promise<void>;
  point(name: string): Promise<void>;
}

/** @param askedAt when the claim was sent, on the monotonic clock. To be called when its answer is there. */
export function workingCopy(
  claimed: Loaded,
  askedAt: number,
  policy: ClientPolicy,
  { store, random, onPoint, onCommit }: CopyTools,
): WorkingCopy {
  const { ref } = claimed.record;
  let held = claimed;
  /** What is not committed yet. */
  let draft: Change | null = null;
  // The store read its clock somewhere between these two, and an answer can be long on its way.
  let [sentAt, readAt] = [askedAt, monotonic()];
  const now = () => Math.round(held.now + (monotonic() - readAt));
  const context = () => ({ policy, now: now(), random: random() });
  const point = async (name: string) => onPoint?.(name, ref);

  return {
    ref,
    policy,
    get committed() {
      return held;
    },
    now,
    latest: () => Math.round(held.now + (monotonic() - sentAt)),
    context,
    point,

    decide() {
      const { action, change } = decide(draft ?? { record: held.record, entries: [] }, now(), context);
      if (change.record !== held.record) draft = change;
      return { action, record: change.record };
    },

    add(change) {
      draft = merged(draft, change);
    },

    dropNoNews() {
      if (draft !== null && draft.entries.length === 0 && isNoNews(held.record, draft.record)) draft = null;
    },

    async save(name, durable) {
      if (draft === null) return;
      const change = draft;
      await point(`${name}:before commit`);
      const beganAt = monotonic();
      const { op, now: committedAt } = await store.commit(commitOf(change, policy, { from: held, durable }));
      const before = held.record;
      held = { ...held, record: change.record, op, now: committedAt, carried: [] };
      draft = null;
      [sentAt, readAt] = [beganAt, monotonic()];
      onCommit?.(change, before);
      await point(`${name}:after commit`);
    },
  };
}
