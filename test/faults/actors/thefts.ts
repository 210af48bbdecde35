/** Keys that were stolen, and reported where they were found: in one of the forms in which people find keys. */
import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ENCODINGS } from '../../support/encodings.ts';
import { filesIn, needlesOf, searchFor } from '../../support/secrets.ts';
import { privateKeyOf } from '../checks/keys.ts';
import { refusalOf, type Signing } from '../checks/sign-in.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Scene } from '../stage/scenario.ts';
import type { Served } from '../stage/serving.ts';
import type { Testbed } from '../stage/testbed.ts';
import { PATIENCE_MS, POLL_MS, recordOf } from './asking.ts';
import type { ApiCall } from './callers.ts';

export interface Theft extends Signing {
  readonly client: FaultClient;
}

/** The thief reads what signers read. */
export async function steal(client: FaultClient): Promise<Theft> {
  const jwk = JSON.parse(await readFile(join(client.folder, 'current.jwk.json'), 'utf8'));
  return { client, kid: String(jwk.kid), alg: String(jwk.alg), key: privateKeyOf(jwk) };
}

/** To be called once the fleet has come to rest: no stolen key signs in. */
export async function areRefused(
  thefts: readonly Theft[],
  { emulator, accuse }: Pick<Scene<Testbed>, 'emulator' | 'accuse'>,
): Promise<void> {
  for (const theft of thefts) {
    if ((await refusalOf(theft.client, theft, emulator)) === null)
      accuse('stolen_key', theft.client.ref, `a stolen key is still accepted: ${theft.kid}`);
  }
}

/** A report of that key, to have it replaced. @param form which of the forms it was found in; they are counted on */
export function reportOf(key: KeyObject, form: number, call: Pick<ApiCall, 'name' | 'bearer' | 'due'>): ApiCall {
  const encoding = ENCODINGS[form % ENCODINGS.length];
  if (encoding === undefined) throw new Error('there are no encodings');
  return { ...call, path: `/v1/leaks?rotate=true&reason=${call.name}`, body: encoding.encode(key) };
}

/** Waits until the private half is destroyed and the client rests. A key for which that takes too long is accused. */
export async function untilDestroyed(
  { raw, accuse }: Pick<Scene<Testbed>, 'raw' | 'accuse'>,
  { client, kid }: Theft,
): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(POLL_MS)) {
    const record = await recordOf(raw, client.ref);
    const isOver = record !== null && record.rotation === null && record.retirements.length === 0;
    if (isOver && !record.keys.some((key) => key.kid === kid)) return;
  }
  accuse('not_destroyed', client.ref, `the stolen key ${kid} was not destroyed within ${PATIENCE_MS} ms`);
}

/** What was reported is in no file of a worker or of Redis, in no key folder, and not in what Redis noted beside. */
export async function hunt(
  { dir, redis, raw, accuse }: Pick<Scene<Served>, 'dir' | 'redis' | 'raw' | 'accuse'>,
  keys: readonly KeyObject[],
): Promise<void> {
  const needles = keys.flatMap((key, index) => needlesOf(`key ${index}`, key));
  const search = searchFor(needles);
  const places: Readonly<Record<string, Buffer>> = {
    'the folders of the workers': await filesIn(dir),
    'the folder of Redis': await filesIn(dirname(redis.socketPath)),
    'the slow log of Redis': Buffer.from(JSON.stringify(await raw.call('SLOWLOG', 'GET', '-1'))),
  };
  for (const [place, bytes] of Object.entries(places)) {
    for (const name of search(bytes)) accuse('leak_kept', null, `${name} is in ${place}`);
    // A hunt that finds nothing where something is would prove nothing.
    const planted = needles.filter(
      (needle) => !search(Buffer.concat([bytes.subarray(-64), needle.bytes])).has(needle.name),
    );
    for (const { name } of planted) accuse('hunt', null, `${name} is not found where it was put`);
  }
}
