/** One set of keys, and sinks that take it, fail, or hold a later one. */
import { expect, test } from 'vitest';
import { type Sink, SinkOutdated, sinkFailed } from '../../src/deliver/sink.ts';
import { deliverToAll } from '../../src/rotation/deliver-to-all.ts';
import { contents, sinkKey } from '../deliver/contents.ts';

function sinkThat(name: string, deliver: () => Promise<void>): Sink {
  return { name, placeOf: () => name, deliver, sets: null, reports: null, check: async () => null, close() {} };
}

const failing = (name: string, error: Error) => sinkThat(name, () => Promise.reject(error));

const message = (work: Promise<unknown>) =>
  work.then(
    () => 'it was delivered',
    (error: Error) => error.message,
  );

test('it is delivered when all have it, and a sink that fails keeps no other from it', async () => {
  const had: string[] = [];
  const taking = ['a', 'b'].map((name) => sinkThat(name, async () => void had.push(name)));
  const set = contents({ current: await sinkKey() });
  await deliverToAll(taking, set);
  const broken = ['c', 'd'].map((name) => failing(name, sinkFailed(name, 'it is full', 'Empty it')));
  expect(await message(deliverToAll([...broken, ...taking], set))).toMatch(
    /delivered to c: it is full.*delivered to d: it is full/,
  );
  expect(await message(deliverToAll([...taking, ...broken.slice(1)], set))).toMatch(/^Keys cannot be delivered to d/);
  expect(had).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
});

test('a sink that holds a later set counts before one that fails', async () => {
  const sinks = [failing('a', sinkFailed('a', 'it is full', 'Empty it')), failing('b', new SinkOutdated('b', 9))];
  await expect(deliverToAll(sinks, contents({}))).rejects.toMatchObject({ code: 'sink_outdated', epoch: 9 });
});

test('an error that repeats what was sent is not repeated, and one that names the key is', async () => {
  const key = await sinkKey();
  const sent = JSON.stringify(key.privateKey.keyObject().export({ format: 'jwk' }));
  const told = await message(deliverToAll([failing('a', new Error(`invalid: ${sent}`))], contents({ current: key })));
  expect(told).toMatch(/delivered to a: its error has a part of a private key in it, which is not repeated here/);
  const named = `key ${key.kid} of x ${key.jwk.x} is invalid`;
  expect(await message(deliverToAll([failing('a', new Error(named))], contents({ current: key })))).toBe(named);
});
