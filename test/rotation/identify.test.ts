import { expect, test } from 'vitest';
import { readAnyKey } from '../../src/keys/any-key.ts';
import { identify } from '../../src/rotation/identify.ts';
import { makePair } from '../emulator/testing.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { privatePem } from '../support/importing.ts';

/** The fleet's resources, and the most sign-ins that were under way at the same time. */
function counting({ resources }: Fleet) {
  const count = { now: 0, most: 0 };
  const deploymentOf: typeof resources.deploymentOf = (ref) => {
    const deployment = resources.deploymentOf(ref);
    const proverOf: typeof deployment.proverOf = (app) => {
      const prover = deployment.proverOf(app);
      const prove: typeof prover.prove = async (request, signal) => {
        count.now += 1;
        count.most = Math.max(count.most, count.now);
        return prover.prove(request, signal).finally(() => {
          count.now -= 1;
        });
      };
      return { ...prover, prove };
    };
    return { ...deployment, proverOf };
  };
  return { resources: { ...resources, deploymentOf }, count };
}

test('a key that many clients share is tried for each of them, in order, and a few at a time', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const pair = makePair('ES256');
  const clients = [];
  for (let made = 0; made < 12; made += 1) clients.push(await fleet.foreign(PEM_APP, { pair }));
  const { resources, count } = counting(fleet);
  const [first] = clients;
  const meant = await readAnyKey(first === undefined ? '' : privatePem(first.key));
  const matches = await identify(resources, [], meant, new AbortController().signal);
  const expected = clients.toReversed().map(({ ref }) => ({ client: ref, state: 'foreign', sign_in: 'accepted' }));
  expect(matches).toMatchObject(expected);
  expect(count.most).toBeGreaterThan(1);
  expect(count.most).toBeLessThanOrEqual(4);
});
