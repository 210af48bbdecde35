/** Clients of every kind that a policy can make of them: most with keys that rekeyd was given, some that sign in with keys of their own. */
import type { Algorithm } from '../../../src/core/keys.ts';

export interface NewClient {
  /** Of the key that it begins with. */
  readonly alg: Algorithm;
  /** A key of somebody else stands beside it. */
  readonly foreign?: boolean;
  /** Its own key is registered twice, under two names. */
  readonly twice?: boolean;
  /**
   * `enrolled` (when absent): rekeyd has its key, and its application takes its keys from its key folder. `held`: rekeyd has a copy of its key. `found`:
   * rekeyd was told nothing. The applications of the last two sign in with keys of their own.
   */
  readonly enrolment?: 'enrolled' | 'held' | 'found';
  /** Its application reports into a folder of its own, and somebody else carries that to rekeyd. Otherwise the signer library does both. */
  readonly reportsApart?: true;
}

export interface AppSetting {
  readonly slug: string;
  readonly selection: 'first_pem' | 'jwks_kid';
  readonly policy: Readonly<Record<string, unknown>>;
  /** An alg that somebody was seen to sign in with, before the server stopped to verify it. */
  readonly believed?: Algorithm;
  /** How its rotations end when nobody gives up. */
  readonly ends: 'finished' | 'failed' | 'rolled_back';
  /** How many tries a login may take; `none`: nobody signs in. One that signs in with a key of its own takes one. */
  readonly logins: 'one' | 'two' | 'none';
  readonly clients: readonly NewClient[];
}

/** What is rotated, and how. */
export interface FleetSetting {
  readonly apps: readonly AppSetting[];
  /** Laid over each policy, but for what an app says itself. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Laid over the config, and over its deployment. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly deployment?: Readonly<Record<string, unknown>>;
  /** Where the HTTP API of each machine is, on loopback. */
  readonly ports?: readonly number[];
}

const ES256: NewClient = { alg: 'ES256' };
const HELD: NewClient = { alg: 'ES256', enrolment: 'held' };
const FOUND: NewClient = { alg: 'ES256', enrolment: 'found' };

/** Of every kind that there is. */
export const APPS: readonly AppSetting[] = [
  {
    slug: 'overlap',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap' },
    ends: 'finished',
    logins: 'one',
    clients: [ES256, { ...ES256, twice: true }, { ...ES256, foreign: true }, HELD, FOUND],
  },
  {
    slug: 'cutover',
    selection: 'first_pem',
    policy: {},
    ends: 'finished',
    logins: 'two',
    clients: [ES256, { alg: 'RS256' }, { ...ES256, foreign: true }, HELD, FOUND],
  },
  {
    slug: 'pem',
    selection: 'first_pem',
    policy: { format: 'pem' },
    ends: 'finished',
    logins: 'two',
    clients: [ES256],
  },
  {
    slug: 'unproven',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', prove: 'read_back' },
    ends: 'finished',
    logins: 'one',
    clients: [ES256],
  },
  {
    slug: 'served',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', format: 'jwks_uri' },
    ends: 'finished',
    // Its first rotation moves it from a set on the server to one that is served elsewhere.
    logins: 'one',
    clients: [ES256],
  },
  {
    slug: 'lonely',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', foreign_keys: 'retire' },
    ends: 'finished',
    logins: 'one',
    clients: [{ ...ES256, foreign: true }],
  },
  // A server that does not verify ES512 takes the key and refuses every login until the old one is back.
  {
    slug: 'refused',
    selection: 'first_pem',
    policy: { alg: 'ES512' },
    believed: 'ES512',
    ends: 'rolled_back',
    logins: 'none',
    clients: [ES256],
  },
  // An overlap cannot change the alg.
  {
    slug: 'impossible',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', alg: 'EdDSA' },
    ends: 'failed',
    logins: 'one',
    clients: [ES256],
  },
];
