/** Hands a client's key to its owner: first it is where the owner wants it, then it leaves the store. */
import { rm } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import { type ClientRef, splitReference } from '../core/client.ts';
import type { Cause } from '../core/history.ts';
import type { ManagedKey } from '../core/keys.ts';
import { releasableKey, released } from '../core/release.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { createFile } from '../files/create.ts';
import { codeOf } from '../files/durable.ts';
import type { Kek } from '../keys/kek.ts';
import { openKey } from '../keys/sealed.ts';
import type { Loaded } from '../store/records.ts';
import { commitOf, isOutrun } from './commit.ts';
import { knownOtherwise } from './naming.ts';
import { clientPolicy } from './policy.ts';
import type { Resources } from './resources.ts';

export interface Release {
  readonly ref: ClientRef;
  /** Where the private key goes; null: it stays in the key folder alone. */
  readonly file: string | null;
  readonly cause: Cause;
}

/**
 * @returns the key that was handed over
 * @throws RekeydError `not_found` (client or policy), as {@link releasableKey}; `usage` when the file is there already or cannot be written, or when the key
 * would be nowhere; `key_missing`, `key_tampered`, `kek_missing`
 */
export async function releaseClient(resources: Resources, keks: readonly Kek[], asked: Release): Promise<ManagedKey> {
  const { ref, file } = asked;
  const key = releasableKey((await knownClient(resources, ref)).record);
  const isNew = file !== null && (await writeKey(resources, keks, ref, key, resolve(file)));
  if (file === null) await expectDelivered(resources, ref, key);
  try {
    await commitRelease(resources, asked, key);
  } catch (error) {
    // rekeyd goes on to manage the client and may replace its key: an application that read this file would sign with an old one.
    if (isNew && (await isStillHeld(resources, ref, key))) await rm(resolve(file), { force: true });
    throw error;
  }
  return key;
}

/**
 * True when the store is seen to hold the private half. A commit that failed may still have been written: the confirmation came too late, or the connection
 * broke before the answer. The file then has the only copy of the private key, so a store that does not answer counts as one without it.
 */
async function isStillHeld({ store }: Resources, ref: ClientRef, { thumbprint }: ManagedKey): Promise<boolean> {
  const jwe = await store.sealedHalf(ref, thumbprint).catch(() => null);
  return jwe !== null;
}

async function knownClient({ store }: Resources, ref: ClientRef): Promise<Loaded> {
  const loaded = await store.load(ref);
  if (loaded !== null) return loaded;
  throw new RekeydError(
    'not_found',
    (await knownOtherwise(store, ref)) ?? `${ref} is not known: there is nothing to release.`,
  );
}

/** The private half leaves the store with the release, so it must be somewhere else: in one sink, whatever the others say. */
async function expectDelivered({ sinks }: Resources, ref: ClientRef, { kid }: ManagedKey): Promise<void> {
  const { deployment, app } = splitReference(ref);
  const unread: string[] = [];
  for (const { name, sets } of sinks) {
    try {
      const read = await sets?.(`${deployment}/${app}`);
      if ((await read?.(ref))?.current === kid) return;
    } catch (error) {
      unread.push(` The sink ${name} cannot be read: ${messageOf(error).replace(/\.?$/, '.')}`);
    }
  }
  throw new RekeydError(
    'usage',
    `No sink shows the key of ${ref}, and its private half leaves the store with the release. Name a file for it with --to.${unread.join('')}`,
  );
}

/** @returns false when a release that was killed has written it */
async function writeKey(
  { store }: Resources,
  keks: readonly Kek[],
  ref: ClientRef,
  { kid, thumbprint, alg }: ManagedKey,
  file: string,
): Promise<boolean> {
  const jwe = await store.sealedHalf(ref, thumbprint);
  if (jwe === null) {
    throw new RekeydError(
      'key_missing',
      `The private half of key ${kid} of ${ref} is not in the store, so it cannot be handed over. Restore the backup of Redis.`,
    );
  }
  const privateKey = (await openKey(jwe, { ref, thumbprint, alg }, keks)).keyObject();
  const text = /^\.(?:json|jwk)$/i.test(extname(file))
    ? `${JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg }, null, 2)}\n`
    : privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const bytes = Buffer.from(text);
  try {
    return await createFile(file, bytes, 0o600);
  } catch (error) {
    const why = codeOf(error) === 'EEXIST' ? 'it is there already, and is not overwritten' : messageOf(error);
    throw new RekeydError(
      'usage',
      `The key cannot be written to ${file}: ${why}. Name another file with --to. Nothing was released.`,
    );
  } finally {
    bytes.fill(0);
  }
}

/** Another commit in between is no failure, unless it changed what is handed over. */
async function commitRelease(resources: Resources, { ref, file, cause }: Release, key: ManagedKey): Promise<void> {
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  if (policy === null) {
    throw new RekeydError(
      'not_found',
      `The config has no policy for ${ref}. Add its app (and the client, unless clients: all); it can be taken out after the release.`,
    );
  }
  for (;;) {
    const loaded = await knownClient(resources, ref);
    const { kid } = releasableKey(loaded.record);
    if (kid !== key.kid) {
      throw new RekeydError(
        'under_way',
        `${ref} got the key ${kid} meanwhile: nothing was released. Release it again.`,
      );
    }
    const change = released(loaded.record, cause, file === null ? null : resolve(file));
    const erase = loaded.record.keys.map(({ thumbprint }) => thumbprint);
    try {
      await store.commit(commitOf({ ...change, erase }, policy, { from: loaded, durable: true }));
      return;
    } catch (error) {
      if (!isOutrun(error)) throw error;
    }
  }
}
