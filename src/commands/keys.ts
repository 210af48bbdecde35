import { readFile } from 'node:fs/promises';
import { type ClientRef, parseReference } from '../core/client.ts';
import { desiredDelivery } from '../core/desired.ts';
import { activeKey } from '../core/keys.ts';
import { delivered } from '../core/progress.ts';
import type { Algorithm, ManagedKey } from '../core/record.ts';
import { hasCode, messageOf, RekeydError } from '../errors.ts';
import { isAlgorithm } from '../keys/algorithms.ts';
import { importPrivateKey } from '../keys/import.ts';
import { type Kek, rewrapKey } from '../keys/sealed.ts';
import { inParallel } from '../parallel.ts';
import { commitOf } from '../rotation/commit.ts';
import { effectsFor } from '../rotation/effects.ts';
import { importKey } from '../rotation/import.ts';
import { clientPolicy, keksOf } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import { actor, type Globals, withResources } from './open.ts';
import { note, print, printJson, printTable } from './output.ts';
import { usage } from './select.ts';

export interface ImportOptions {
  /** Path of a PEM or JWK. */
  readonly file: string;
  readonly alg?: string;
  readonly json?: boolean;
}

/** Run again, it goes on where the first try failed: a key that is in the store already is only delivered. */
export async function keysImport(
  globals: Globals,
  client: string,
  { file, alg, json }: ImportOptions,
): Promise<number> {
  const ref = parseReference(client);
  if (alg !== undefined && !isAlgorithm(alg)) throw usage(`${JSON.stringify(alg)} is no algorithm that rekeyd knows.`);
  const text = await readKey(file);
  return withResources(globals, async (parts) => {
    const keks = keksOf(parts.config);
    try {
      const key = (await deliveredAgain(parts, keks, ref, text, alg)) ?? (await imported(parts, keks, ref, text, alg));
      tellImported(ref, key, parts, json ?? false);
      return 0;
    } catch (error) {
      if (!hasCode(error, 'sink_failed')) throw error;
      const message = `The key is in the store, but signers do not have it yet. ${error.message} Then run the same command again.`;
      throw new RekeydError('sink_failed', message, { cause: error });
    }
  });
}

async function readKey(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw usage(`The key file cannot be read: ${messageOf(error)}. Name a PEM or JWK file with --file.`);
  }
}

async function imported(
  parts: Resources,
  keks: readonly Kek[],
  ref: ClientRef,
  text: string,
  alg?: Algorithm,
): Promise<ManagedKey> {
  const cause = { actor: actor(), reason: 'imported on the command line', request: null };
  return importKey(parts, keks, ref, text, cause, alg);
}

/** For a key that was imported before: hands it to signers unless they have it. Null when it was not. */
async function deliveredAgain(
  parts: Resources,
  keks: readonly Kek[],
  ref: ClientRef,
  text: string,
  alg?: Algorithm,
): Promise<ManagedKey | null> {
  const loaded = await parts.store.load(ref);
  const policy = clientPolicy(parts, ref);
  const active = loaded === null ? undefined : activeKey(loaded.record);
  if (loaded === null || policy === null || active === undefined || loaded.record.rotation !== null) return null;
  const { kid: thumbprint } = await importPrivateKey(text, alg);
  if (active.thumbprint !== thumbprint) return null;
  const delivery = desiredDelivery(loaded.record);
  await effectsFor(ref, policy, parts, keks).deliver(loaded.record, delivery, { now: loaded.now, epoch: loaded.now });
  const told = delivered(loaded.record, delivery, { policy, now: loaded.now, random: 0 });
  await parts.store.commit(commitOf(told, policy, { expected: loaded, durable: false }));
  return active;
}

function tellImported(ref: ClientRef, { kid, thumbprint, alg }: ManagedKey, parts: Resources, json: boolean): void {
  const sinks = parts.sinks.map(({ name }) => name);
  const told = `Key ${kid} (${alg}, thumbprint ${thumbprint}) of ${ref} is managed now, and delivered to`;
  if (json) printJson({ client: ref, kid, thumbprint, alg, delivered: sinks });
  else print(`${told} ${sinks.join(', ')}.`);
}

interface Failed {
  readonly client: ClientRef;
  readonly kid: string;
  readonly code: string;
  readonly message: string;
}

interface Rewrapped {
  readonly rewrapped: number;
  /** Under the first KEK already. */
  readonly unchanged: number;
  /** Replaced or erased by somebody else meanwhile. */
  readonly gone: number;
  readonly failed: readonly Failed[];
}

/** Clients whose keys are re-encrypted at the same time. */
const LANES = 16;

/** Every sealed key goes under the first KEK. Those that cannot be opened are listed, and stay as they are. */
export async function keysRewrap(globals: Globals, { json }: { readonly json?: boolean }): Promise<number> {
  return withResources(globals, async (parts) => {
    const counts = { rewrapped: 0, unchanged: 0, gone: 0 };
    const failed: Failed[] = [];
    const keks = keksOf(parts.config);
    await inParallel(await parts.store.clientRefs(), LANES, async (ref) => {
      for (const [kid, jwe] of await parts.store.sealedKeys(ref)) {
        try {
          counts[await rewrapOne(parts, keks, ref, kid, jwe)] += 1;
        } catch (error) {
          if (!hasCode(error, 'kek_missing') && !hasCode(error, 'key_tampered')) throw error;
          failed.push({ client: ref, kid, code: error.code, message: error.message });
        }
      }
    });
    const result = { ...counts, failed: failed.sort((a, b) => (a.client < b.client ? -1 : 1)) };
    if (json) printJson(result);
    else tellRewrapped(result);
    return failed.length === 0 ? 0 : 1;
  });
}

async function rewrapOne(parts: Resources, keks: readonly Kek[], ref: ClientRef, kid: string, jwe: string) {
  const fresh = await rewrapKey(jwe, { ref, kid }, keks);
  if (fresh === null) return 'unchanged';
  return (await parts.store.replaceSealed(ref, kid, jwe, fresh)) ? 'rewrapped' : 'gone';
}

function tellRewrapped({ rewrapped, unchanged, gone, failed }: Rewrapped): void {
  print(`${rewrapped} re-encrypted, ${unchanged} were under the first KEK, ${gone} went away, ${failed.length} failed`);
  if (failed.length === 0) note('Once every worker runs with this config, other KEKs can be removed from it.');
  else
    printTable(
      ['CLIENT', 'KEY', 'PROBLEM'],
      failed.map(({ client, kid, message }) => [client, kid, message]),
    );
}
