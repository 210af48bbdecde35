/** What the steps of the loop work with: the world around one client, and the run that they are part of. */
import type { Action } from '../core/action.ts';
import type { ClientRef } from '../core/client.ts';
import type { LeftOut } from '../core/delivering.ts';
import type { PatchBody, PublicJwk } from '../core/document.ts';
import type { Hearing } from '../core/heard.ts';
import type { Algorithm, KeyMaterial, ManagedKey } from '../core/keys.ts';
import type { ClientPolicy, Context } from '../core/policy.ts';
import type { Verdict } from '../core/proof.ts';
import type { PatchOutcome } from '../core/publishing.ts';
import type { ClientRecord } from '../core/record.ts';
import type { Delivery } from '../core/signers.ts';
import type { Transition } from '../core/transition.ts';
import type { Look } from '../wacht/looks.ts';

/** A new key: its public half, and its private half already sealed. */
export interface NewKey extends KeyMaterial {
  readonly jwe: string;
}

/** A verdict that says nothing of the key. */
export type Unproven = Extract<Verdict, { verdict: 'unknown' | 'throttled' }>;

/** The outside world of one client. What these functions throw counts as a failure of the step, unless the API's answer has a class of its own. */
export interface Effects {
  /** Rejects with the signal's reason when it aborts before the key is begun. */
  generate(alg: Algorithm, urgent: boolean, signal: AbortSignal): Promise<NewKey>;
  /** Delivers the keys that `delivery` names by kid, all at once. Resolves with the dispensable keys that could not be opened and were left out. */
  deliver(record: ClientRecord, delivery: Delivery, when: { now: number; epoch: number }): Promise<readonly LeftOut[]>;
  /** Reads what the client's signers report. Never throws: what could not be read is in the answer. */
  hear(): Promise<Hearing>;
  /** Throws when nothing was learned. */
  look(urgent: boolean, signal: AbortSignal): Promise<Look>;
  /** A second look for the same PATCH. The budget counts it, and it does not wait for the budget. */
  lookAgain(urgent: boolean, signal: AbortSignal): Promise<Look>;
  serve(keys: readonly PublicJwk[]): Promise<void>;
  patch(body: PatchBody, signal: AbortSignal): Promise<PatchOutcome>;
  /** After this long, in ms, a PATCH can no longer reach the server. */
  readonly patchDeadlineMs: number;
  /** @param name the `kid` in the assertion */
  prove(record: ClientRecord, key: ManagedKey, name: string, signal: AbortSignal): Promise<Verdict>;
  /** Signs in once with a new key of the same kind as `key`, which is not registered anywhere. The server refuses it. */
  showUnknown(record: ClientRecord, key: ManagedKey, signal: AbortSignal): Promise<void>;
  /** Null when the issuer at which `key` will be proven answers sign-ins; else what it answered. */
  unreachable(record: ClientRecord, key: ManagedKey, signal: AbortSignal): Promise<Unproven | null>;
}

/** What a step needs beside the record, and how it commits an intent. */
export interface Run {
  readonly ref: ClientRef;
  readonly policy: ClientPolicy;
  readonly signal: AbortSignal;
  /** Of the claim under which this run works: a key folder takes no set of an earlier claim. */
  readonly epoch: number;
  /** Set when a folder held the set of a later claim again and again: the delivery counts as failed, for this reason. */
  readonly outdated: string | null;
  /** ms since the epoch on the store's clock, which is the same for every worker. Never ahead of it: no overlap is cut short. */
  now(): number;
  /** The same, and never behind it: nothing is sent after a deadline. */
  latest(): number;
  context(): Context;
  /** Makes the intent durable before an effect that others can see. */
  announce(change: Transition): Promise<ClientRecord>;
}

export type Step<K extends Action['do']> = Extract<Action, { do: K }>;
