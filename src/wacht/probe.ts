/**
 * Finds out on a disposable client what the server of an app does with keys. Only sign-ins count: Wacht takes any key and any alg in a PATCH, and says no when
 * somebody signs in.
 */
import type { Finding, Findings, Form } from '../core/findings.ts';
import type { Algorithm } from '../core/keys.ts';
import { RekeydError } from '../errors.ts';
import { KEY_SHAPES, MIN_MODULUS_LENGTH } from '../keys/algorithms.ts';
import { sleep } from '../time.ts';
import {
  type Disposable,
  entryOf,
  makeDisposable,
  type ProbeKey,
  type ProbeTools,
  setOf,
  timeUntil,
} from './disposable.ts';
import {
  atAnAddress,
  type Bench,
  everyAlg,
  howManyFit,
  type KeyMaker,
  signsIn,
  whetherPemDecides,
  whichOfTwo,
} from './questions.ts';

/** All but when it was found out. */
export type Learned = Omit<Findings, 'at'>;

/** Each server that we know of verifies one of these. */
const USUAL = ['ES256', 'RS256'] as const satisfies readonly Algorithm[];

/** How long a first sign-in may be refused before the next alg is tried, in ms: a new client may have to spread. */
const FIRST_PATIENCE_MS = 5_000;

/**
 * @throws RekeydError `probe_failed` when no key signs in, or a change has no effect; ApiError. The client is deactivated then, too, or `onLeft` is told
 */
export async function probe(tools: ProbeTools): Promise<Learned> {
  const keys = keyMaker(tools);
  const client = await makeDisposable(tools, await keys('ES256'));
  try {
    return await learn(client, keys, tools);
  } finally {
    const why = await client.deactivate();
    if (why !== null) tools.onLeft(why);
  }
}

/** One RSA pair does for all RSA algs: they take long to make. */
function keyMaker({ generateKey, signal }: ProbeTools): KeyMaker {
  const pairs = new Map<Algorithm, ProbeKey>();
  return async (alg) => {
    const known = pairs.get(alg);
    if (known !== undefined) return known;
    const twin = [...pairs.values()].find((key) => KEY_SHAPES[key.alg].kty === 'RSA');
    const key = KEY_SHAPES[alg].kty === 'RSA' && twin !== undefined ? { ...twin, alg } : await fresh(alg);
    pairs.set(alg, key);
    return key;
  };

  async function fresh(alg: Algorithm): Promise<ProbeKey> {
    const key = await generateKey(alg, { modulusLength: MIN_MODULUS_LENGTH, signal });
    return { ...key, kid: key.thumbprint };
  }
}

async function learn(client: Disposable, keys: KeyMaker, tools: ProbeTools): Promise<Learned> {
  const alg = await firstVerified(client, keys, tools);
  const make = async () => {
    const key = await tools.generateKey(alg, { modulusLength: MIN_MODULUS_LENGTH, signal: tools.signal });
    return { ...key, kid: key.thumbprint };
  };
  const [a, b] = [await keys(alg), await make()];
  const { effectMs, removalMs, isInstant } = await changeOver(client, a, b, tools);
  const bench: Bench = {
    client,
    tools,
    alg,
    a,
    b,
    more: make,
    // Twice what it took, since a cache may be filled at any moment.
    settled: () => (isInstant ? Promise.resolve() : sleep(2 * effectMs, tools.signal)),
  };
  const picks = await whichOfTwo(bench);
  const pemMember = await whetherPemDecides(bench, picks.result);
  const plain = await signsIn(bench, setOf(alg, entryOf(a, false)), a, 'a plain JWK');
  const pem = await signsIn(bench, { public_key_pem: a.pem, token_endpoint_auth_signing_alg: alg }, a, 'a PEM');
  const algs = await everyAlg(bench, keys);
  const fit = await howManyFit(bench, picks.result);
  // Last, since the server cannot be made to forget an address.
  const uri = await atAnAddress(bench, picks.result);
  const forms: Record<Form, Finding> = { jwk_with_pem: algs[alg], jwk: plain, pem, jwks_uri: uri };
  return { v: 1, issuer: tools.issuer, picks, pemMember, forms, algs, fit, effectMs, removalMs };
}

async function firstVerified(client: Disposable, keys: KeyMaker, tools: ProbeTools): Promise<Algorithm> {
  const said: string[] = [];
  for (const alg of USUAL) {
    const key = await keys(alg);
    // The client was made with the first.
    if (said.length > 0) await client.put(setOf(alg, entryOf(key)));
    const patienceMs = Math.min(FIRST_PATIENCE_MS, tools.patienceMs);
    const { ms, words } = await timeUntil('accepted', key, client, { ...tools, patienceMs });
    if (ms !== null) return alg;
    said.push(`${alg} ${words}`);
  }
  throw new RekeydError(
    'probe_failed',
    `No key of the disposable client signs in at ${tools.issuer}: ${said.join(', ')}. Check that the issuer of the app in the config is the one of this app. Nothing is assumed of the server.`,
  );
}

/** Right after the first sign-in: a server that keeps what it has read has just read it, and keeps it for its longest time. */
async function changeOver(client: Disposable, a: ProbeKey, b: ProbeKey, tools: ProbeTools) {
  const taken = await client.put(setOf(b.alg, entryOf(b)));
  if (typeof taken !== 'number') {
    throw new RekeydError(
      'probe_failed',
      `The server does not let the keys of its disposable client be changed (${taken.refused}), so nothing can be learned.`,
    );
  }
  const effect = await timeUntil('accepted', b, client, tools);
  if (effect.ms === null) {
    const seconds = Math.round(tools.patienceMs / 1000);
    throw new RekeydError(
      'probe_failed',
      `A key that was registered is not accepted within ${seconds} s (${effect.words}), so nothing can be learned of other keys. Try again; if this stays so, set strategy and alg by hand.`,
    );
  }
  const removal = await timeUntil('refused', a, client, tools);
  const removalMs = removal.ms === null ? null : effect.ms + removal.ms;
  return { effectMs: effect.ms, removalMs, isInstant: effect.tries === 1 };
}
