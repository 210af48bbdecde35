/**
 * The loop `effects`: everything that overlap rotations do to the world, in the order that keeps every client signed in, and nothing else. There are no jobs,
 * no plan, no record that is read again and no audit log. It is the limit for a worker that gives up none of its promises.
 */
import { mkdirSync } from 'node:fs';
import { FRESH_MS } from '../../src/core/server.ts';
import { type BareApiOrder, openBareApi } from './bare-api.ts';
import { openBareFolder } from './bare-folder.ts';
import {
  type BareKey,
  importKek,
  makeKey,
  type PublicHalf,
  published,
  seal,
  signAssertion,
  unseal,
} from './bare-keys.ts';
import { activeSet, firstSet, lastSet, nextSet } from './bare-sets.ts';
import { openBareStore } from './bare-store.ts';
import { orderOf, serveParent, usage } from './child.ts';
import { fsyncs } from './counters.ts';
import { type BareResult, type Loop, timed } from './lanes.ts';

export interface EffectsOrder extends BareApiOrder {
  /** `https://` and the host of the app. */
  readonly issuer: string;
  /** Of Redis. */
  readonly socketPath: string;
  /** For the keys of the app's clients; made when it is not there. */
  readonly folder: string;
}

export interface EffectsResult extends BareResult {
  /** Both for one client. */
  readonly looks: number;
  readonly fsyncs: number;
}

/** A client between two rotations. */
interface Held {
  readonly client: string;
  readonly clientId: string;
  readonly key: PublicHalf;
  /** Its private half. */
  readonly jwe: string;
  /** The server's latest answer, and when it was asked for, in ms of the monotonic clock. */
  readonly seen: Shown;
  readonly seenAt: number;
}

/** The members of a client that are looked at. */
interface Shown {
  readonly client_id: string;
  readonly jwks: { readonly keys: readonly { readonly kid: string }[] };
}

/** More do not make it faster. */
const CONNECTIONS = 64;

const order = orderOf<EffectsOrder>();
const { issuer } = order;
const { host } = new URL(issuer);
const audience = `${issuer}/oauth/introspect`;
mkdirSync(order.folder, { recursive: true, mode: 0o700 });
const api = openBareApi(order, CONNECTIONS);
const store = await openBareStore(order.socketPath);
const folder = openBareFolder(order.folder);
const kek = await importKek(crypto.getRandomValues(new Uint8Array(32)));
const held = new Map<string, Held>();
let looks = 0;

async function effects({ clients, lanes, alg }: Loop): Promise<EffectsResult> {
  const strangers = clients.filter((client) => !held.has(client));
  await timed(strangers, lanes, (client) => takeOver(client, alg));
  const before = { looks, fsyncs: fsyncs() };
  const result = await timed(clients, lanes, rotate);
  const each = (from: number, to: number) => (to - from) / clients.length;
  return { ...result, looks: each(before.looks, looks), fsyncs: each(before.fsyncs, fsyncs()) };
}

/** Gives a client its first key. No rotation yet, and not measured. */
async function takeOver(client: string, alg: string): Promise<void> {
  const key = await makeKey(alg);
  const jwe = await seal(key, client, kek);
  const seenAt = performance.now();
  const seen = await ask(client, documentOf([key]));
  const now: Held = { client, clientId: seen.client_id, key: publicHalf(key), jwe, seen, seenAt };
  await save(now, 'at rest', [key], null, { [key.kid]: jwe });
  await folder.deliver(client, firstSet({ ...now, issuer }, key));
  held.set(client, now);
}

async function rotate(client: string): Promise<void> {
  const start = held.get(client);
  if (start === undefined) throw new Error(`${client} was never taken over`);
  let now = start;
  const old = await unseal(now.key, now.jwe, kek);
  const fresh = await makeKey(old.alg);
  const jwe = await seal(fresh, client, kek);
  const both = [old, fresh];
  const place = { ...now, issuer };

  async function send(body: object): Promise<Shown> {
    const seenAt = performance.now();
    now = { ...now, seen: await ask(client, body), seenAt };
    return now.seen;
  }
  async function publish(keys: readonly BareKey[]): Promise<void> {
    // As in rekeyd: the answer to the PATCH before may still do for a look.
    if (performance.now() - now.seenAt > FRESH_MS) {
      looks += 1;
      await send({});
    }
    const document = documentOf(keys);
    await save(now, 'in flight', both, document);
    const shown = (await send(document)).jwks.keys.map(({ kid }) => kid);
    if (shown.join() !== keys.map(({ kid }) => kid).join()) throw new Error(`the server shows ${shown}`);
  }
  async function prove(key: BareKey, isGood: boolean): Promise<void> {
    const assertion = await signAssertion(key, now.clientId, audience);
    const accepted = await api.accepts(host, now.clientId, assertion);
    if (accepted !== isGood) throw new Error(`${client}: a key is ${accepted ? 'accepted' : 'refused'}`);
  }

  await save(now, 'stored', both, null, { [fresh.kid]: jwe });
  await folder.deliver(client, nextSet(place, old, fresh));
  await publish(both);
  await prove(fresh, true);
  await folder.deliver(client, activeSet(place, old, fresh));
  await publish([fresh]);
  await prove(old, false);
  await folder.deliver(client, lastSet(place, fresh));
  await save(now, 'at rest', [fresh], null, {}, [old.kid]);
  held.set(client, { ...now, key: publicHalf(fresh), jwe });
}

async function ask(client: string, body: object): Promise<Shown> {
  return JSON.parse(await api.patch(client, body));
}

function documentOf(keys: readonly BareKey[]): object {
  const alg = keys.at(-1)?.alg;
  return { jwks: { keys: keys.map(published) }, token_endpoint_auth_signing_alg: alg };
}

function publicHalf({ alg, kid, jwk, pem }: BareKey): PublicHalf {
  return { alg, kid, jwk, pem };
}

/** On disk when it resolves: what another process would need to go on from here. */
function save(
  { client, clientId, seen }: Held,
  phase: string,
  keys: readonly BareKey[],
  inFlight: object | null,
  sealed: Readonly<Record<string, string>> = {},
  erased: readonly string[] = [],
): Promise<void> {
  const record = { client, clientId, phase, keys: keys.map(publicHalf), seen, inFlight, at: Date.now() };
  return store.write(`{bench}:effects:${client}`, { record: JSON.stringify(record), ...sealed }, erased);
}

serveParent(null, { effects, usage }, async () => {
  store.close();
  await Promise.all([api.close(), folder.close()]);
});
