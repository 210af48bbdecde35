/** What a probe asks of the server, one question a function. Each changes the disposable client, and signs in to see. */
import type { Finding, Findings, Outcome, Selection } from '../core/findings.ts';
import { ALGORITHMS, type Algorithm } from '../core/keys.ts';
import { sleep } from '../time.ts';
import { type Disposable, entryOf, type ProbeKey, type ProbeTools, type SignIn, setOf } from './disposable.ts';

/** A key for an alg, the same each time. */
export type KeyMaker = (alg: Algorithm) => Promise<ProbeKey>;

/** What the questions work with. */
export interface Bench {
  readonly client: Disposable;
  readonly tools: ProbeTools;
  /** An alg that the server verifies, and two keys for it. */
  readonly alg: Algorithm;
  readonly a: ProbeKey;
  readonly b: ProbeKey;
  /** One more key for it. */
  more(): Promise<ProbeKey>;
  /** Resolves when the last PATCH has had its effect. */
  settled(): Promise<void>;
}

/** Sizes of sets that are tried, the largest first. */
const SIZES = [32, 16, 8, 4, 3] as const;

export async function whichOfTwo(bench: Bench): Promise<Finding<Selection>> {
  const { client, alg, a, b, settled } = bench;
  const taken = await client.put(setOf(alg, entryOf(a), entryOf(b)));
  if (typeof taken !== 'number')
    return { result: 'one', evidence: `a set of two keys is not taken (${taken.refused})` };
  await settled();
  const [one, two] = [await client.signIn(a), await client.signIn(b)];
  const evidence = `of [A, B], A is ${one.words} and B is ${two.words}`;
  if (one.result === 'unknown' || two.result === 'unknown') return { result: 'unknown', evidence };
  if (one.result === 'accepted' && two.result === 'accepted') {
    const crossed = await client.signIn(b, a.kid);
    const more = `${evidence}; B under the kid of A is ${crossed.words}`;
    return { result: crossed.result === 'accepted' ? 'any' : 'by_kid', evidence: more };
  }
  await client.put(setOf(alg, entryOf(b), entryOf(a)));
  await settled();
  const [oneNow, twoNow] = [await client.signIn(a), await client.signIn(b)];
  const more = `${evidence}; of [B, A], A is ${oneNow.words} and B is ${twoNow.words}`;
  return { result: byPlace([one, two], [oneNow, twoNow]), evidence: more };
}

type Pair = readonly [SignIn, SignIn];

/** @param swapped what A and B came to in the other order */
function byPlace([a, b]: Pair, [aNow, bNow]: Pair): Selection {
  const is = (accepted: SignIn, refused: SignIn) => accepted.result === 'accepted' && refused.result === 'refused';
  if (is(a, b) && is(bNow, aNow)) return 'first';
  return is(b, a) && is(aNow, bNow) ? 'last' : 'unknown';
}

export async function whetherPemDecides(
  { client, alg, a, b, settled }: Bench,
  picks: Selection,
): Promise<Findings['pemMember']> {
  if (picks === 'one') return { result: 'unknown', evidence: 'not tried: it takes two keys' };
  // The key with the member stands where the other one would be chosen.
  const keys = picks === 'last' ? [entryOf(b), entryOf(a, false)] : [entryOf(a, false), entryOf(b)];
  const taken = await client.put(setOf(alg, ...keys));
  if (typeof taken !== 'number') return { result: 'unknown', evidence: `not taken (${taken.refused})` };
  await settled();
  const [plain, withPem] = [await client.signIn(a), await client.signIn(b)];
  const evidence = `of a plain JWK A and a JWK B with public_key_pem, A is ${plain.words} and B is ${withPem.words}`;
  if (plain.result === 'accepted') return { result: 'ignored', evidence };
  const decides = plain.result === 'refused' && withPem.result === 'accepted';
  return { result: decides ? 'decides' : 'unknown', evidence };
}

/** One document, and one sign-in. */
export async function signsIn(
  { client, settled }: Pick<Bench, 'client' | 'settled'>,
  body: Parameters<Disposable['put']>[0],
  key: ProbeKey,
  what: string,
): Promise<Finding> {
  const taken = await client.put(body);
  if (typeof taken !== 'number') return { result: 'refused', evidence: `${what} is not taken (${taken.refused})` };
  await settled();
  const { result, words } = await client.signIn(key);
  return { result: result satisfies Outcome, evidence: `${what} is taken, and a sign-in with it is ${words}` };
}

export async function everyAlg(bench: Bench, keys: KeyMaker): Promise<Findings['algs']> {
  const known: Finding = { result: 'accepted', evidence: `a sign-in with a key for ${bench.alg} is accepted` };
  const found = new Map<Algorithm, Finding>([[bench.alg, known]]);
  for (const alg of ALGORITHMS) {
    if (found.has(alg)) continue;
    const key = await keys(alg);
    found.set(alg, await signsIn(bench, setOf(alg, entryOf(key)), key, `a key for ${alg}`));
  }
  return Object.fromEntries(found) as Findings['algs']; // one for each of them
}

/** A server that takes a set and shows less of it has no room for all. */
export async function howManyFit({ client, alg, a, b, tools }: Bench, picks: Selection): Promise<Findings['fit']> {
  if (picks === 'one') return { keys: 1, evidence: 'a set of two keys is not taken' };
  // Nobody signs in with these, so they are of the kind that is made soonest.
  const make = () => tools.generateKey('ES256', { signal: tools.signal });
  const made = await Promise.all(Array.from({ length: SIZES[0] - 2 }, make));
  const others = made.map((key) => entryOf({ ...key, kid: key.thumbprint }));
  let evidence = '';
  for (const size of SIZES) {
    const taken = await client.put(setOf(alg, entryOf(a), ...others.slice(0, size - 2), entryOf(b)));
    if (taken === size) return { keys: size, evidence: `${evidence}a set of ${size} keys is taken whole` };
    const why = typeof taken === 'number' ? `shown as ${taken}` : `not taken (${taken.refused})`;
    evidence += `a set of ${size} is ${why}; `;
  }
  return { keys: 2, evidence: `${evidence}a set of 2 is taken` };
}

/** How often, and how many ms apart, a set at an address is tried. */
const ADDRESS_TRIES = 5;
const ADDRESS_POLL_MS = 500;

/** With keys that the server never saw in a set: it may go on using that one. */
export async function atAnAddress(bench: Bench, picks: Selection): Promise<Finding> {
  const { client, alg, tools, more, settled } = bench;
  if (tools.serve === null)
    return {
      result: 'unknown',
      evidence: 'not tried: the config has no publish section, so there is no place to serve a set from',
    };
  const [c, d] = [await more(), await more()];
  const uri = await tools.serve(client.ref, [entryOf(c, false), entryOf(d, false)]);
  const taken = await client.put({ jwks_uri: uri, token_endpoint_auth_signing_alg: alg });
  if (typeof taken !== 'number')
    return { result: 'refused', evidence: `jwks_uri ${uri} is not taken (${taken.refused})` };
  await settled();
  let one = await client.signIn(c);
  // A web server may show a new file late.
  for (let tries = 1; tries < ADDRESS_TRIES && one.result === 'refused'; tries += 1) {
    await sleep(ADDRESS_POLL_MS, tools.signal);
    one = await client.signIn(c);
  }
  const two = await client.signIn(d);
  const evidence = `jwks_uri ${uri} is taken; of the two keys served there, one is ${one.words} and the other ${two.words}`;
  const isWhole = one.result === 'accepted' && two.result === 'accepted';
  const isEnough =
    picks === 'by_kid' || picks === 'any' ? isWhole : one.result === 'accepted' || two.result === 'accepted';
  if (isEnough) return { result: 'accepted', evidence };
  return { result: [one, two].some(({ result }) => result === 'unknown') ? 'unknown' : 'refused', evidence };
}
