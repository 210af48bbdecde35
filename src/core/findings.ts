/**
 * What is known of the server of one app: what a probe found out on a disposable client, and what clients were seen to do. Without findings nothing is assumed.
 * What was seen last counts: servers change.
 */
import type { Format } from './document.ts';
import type { Algorithm } from './keys.ts';

/** `unknown`: it was not tried, or no answer said so. */
export type Outcome = 'accepted' | 'refused' | 'unknown';

/** What came of one question. `evidence` is for people: what was sent, and what the server answered. */
export interface Finding<T extends string = Outcome> {
  readonly result: T;
  readonly evidence: string;
}

/**
 * Which of two published keys sign in. `by_kid`: both, each under its own `kid`. `any`: both, under either `kid`. `first`, `last`: one, by its place. `one`: the
 * server does not take a set of two.
 */
export type Selection = 'by_kid' | 'any' | 'first' | 'last' | 'one' | 'unknown';

/** How a key is published. `jwk_with_pem`: a JWK with the member `public_key_pem`. */
export type Form = 'jwk_with_pem' | 'jwk' | 'pem' | 'jwks_uri';

export interface Findings {
  readonly v: 1;
  /** Milliseconds since the Unix epoch on the store's clock. */
  readonly at: number;
  /** Where the disposable client signed in. */
  readonly issuer: string;
  readonly picks: Finding<Selection>;
  /** Of a set with a plain JWK first, and a key with `public_key_pem` second: whether that member decides. */
  readonly pemMember: Finding<'decides' | 'ignored' | 'unknown'>;
  readonly forms: Readonly<Record<Form, Finding>>;
  readonly algs: Readonly<Record<Algorithm, Finding>>;
  /** The largest set that was taken, of those that were tried. */
  readonly fit: { readonly keys: number; readonly evidence: string };
  /** How long after its PATCH a new key signed in, in ms. */
  readonly effectMs: number;
  /** How long after its PATCH a removed key was refused, in ms; null: it still signed in when the probe stopped looking. */
  readonly removalMs: number | null;
}

/** A client of the app that was seen to do something, and when. */
export interface Sighting {
  readonly at: number;
  readonly client: string;
}

export interface AppFacts {
  readonly findings: Findings | null;
  /** Clients that signed in with a key for that alg. Only the last is kept. */
  readonly proven: Readonly<Partial<Record<Algorithm, Sighting>>>;
  /** The server refused a new key beside the old one, where findings had said that it takes several. */
  readonly refusedOverlap: Sighting | null;
  /** The last probe, if it came to nothing. */
  readonly failed: { readonly at: number; readonly error: string } | null;
}

export const NOTHING_KNOWN: AppFacts = { findings: null, proven: {}, refusedOverlap: null, failed: null };

/** What a policy says of publishing. */
export interface Publishing {
  readonly format: Format;
  readonly embedPem: boolean;
}

export function formOf({ format, embedPem }: Publishing): Form {
  if (format !== 'jwks') return format;
  return embedPem ? 'jwk_with_pem' : 'jwk';
}

const USUAL: Publishing = { format: 'jwks', embedPem: true };

/** True only when a probe saw two keys sign in side by side, the form is one that signs in, and no rotation has seen otherwise since. */
export function takesSeveral({ findings, refusedOverlap }: AppFacts, publishing: Publishing = USUAL): boolean {
  if (findings === null || (refusedOverlap !== null && refusedOverlap.at > findings.at)) return false;
  const { picks, forms } = findings;
  return (picks.result === 'by_kid' || picks.result === 'any') && forms[formOf(publishing)].result === 'accepted';
}

/** Whether clients of the app can sign in with `alg`, by what was seen last. */
export function seenAlg({ findings, proven }: AppFacts, alg: Algorithm): Outcome {
  const found = findings?.algs[alg].result ?? 'unknown';
  const sighting = proven[alg];
  if (sighting === undefined) return found;
  return found === 'refused' && findings !== null && findings.at >= sighting.at ? 'refused' : 'accepted';
}

/** What the server was seen not to do, as far as a policy asks for it. */
export interface Demand {
  /** Null: whatever the client has. */
  readonly alg: Algorithm | null;
  readonly overlap: boolean;
  readonly publishing: Publishing | null;
}

/** Each with the finding that says so. @param app `deployment/slug` */
export function contradictions(facts: AppFacts, { alg, overlap, publishing }: Demand, app: string): readonly string[] {
  const { findings } = facts;
  if (findings === null) return [];
  const seen = `the probe of ${new Date(findings.at).toISOString()} found`;
  const again = `If the server has changed since, run \`rekeyd probe ${app}\` again.`;
  const said: string[] = [];
  if (alg !== null && seenAlg(facts, alg) === 'refused')
    said.push(`${app} does not verify ${alg}: ${seen} ${findings.algs[alg].evidence}. Name another alg. ${again}`);
  const form = publishing === null ? null : formOf(publishing);
  if (form !== null && findings.forms[form].result === 'refused')
    said.push(
      `${app} does not accept ${FORMS[form]}: ${seen} ${findings.forms[form].evidence}. ${INSTEAD[form]} ${again}`,
    );
  const { result, evidence } = findings.picks;
  if (overlap && (result === 'first' || result === 'last' || result === 'one'))
    said.push(`${app} takes one key at a time: ${seen} ${evidence}. Write strategy: auto, or cutover. ${again}`);
  return said;
}

const FORMS = {
  jwk_with_pem: 'keys as JWK with public_key_pem',
  jwk: 'keys as plain JWK',
  pem: 'a key as PEM',
  jwks_uri: 'keys at a jwks_uri',
} as const satisfies Record<Form, string>;

const INSTEAD = {
  jwk_with_pem: 'Write format: pem.',
  jwk: 'Write embed_pem: true.',
  pem: 'Write format: jwks.',
  jwks_uri: 'Write format: jwks.',
} as const satisfies Record<Form, string>;
