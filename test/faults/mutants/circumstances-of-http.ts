/** What brings those mutants to light that answer a caller of the HTTP API wrongly: see {@link ./circumstances.ts}. */
import { makeKey } from '../../emulator/testing.ts';
import {
  type ApiCall,
  type Bearer,
  isRefusedEverywhere,
  makeToken,
  openCallers,
  revokeToken,
} from '../actors/callers.ts';
import { listen } from '../actors/listeners.ts';
import { hunt, reportOf, steal, untilDestroyed } from '../actors/thefts.ts';
import { APPS, type AppSetting } from '../stage/apps.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { enrolled, openServed, type Served, servingCrew } from '../stage/serving.ts';

const apps: readonly AppSetting[] = APPS.filter(({ slug }) => slug === 'cutover');

const open = (place: Parameters<typeof openServed>[0]) => openServed(place, { apps }, 1);
const crew = (_dice: unknown, testbed: Served) => servingCrew(testbed);

function calm({ ports, history, chance }: Scene<Served>) {
  return openCallers({ ports, history, chance, isCalm: true });
}

function rotationOf({ clients }: Scene<Served>, name: string, bearer: Bearer, due: ApiCall['due']): ApiCall {
  const select = {
    clients: enrolled({ clients })
      .slice(0, 1)
      .map(({ ref }) => ref),
  };
  return { name, bearer, due, path: '/v1/rotations', body: { select, reason: name } };
}

/** Somebody calls, hears what comes of it, and calls again as if there had been no answer. Then a token is revoked. */
const called = kindOf<Served>({
  name: 'called',
  open,
  crew,
  async play(scene) {
    const { history, ports, chance } = scene;
    const callers = calm(scene);
    const [siem, pager] = await Promise.all(['siem', 'pager'].map((name) => makeToken(scene, name, 'rotate,read')));
    if (siem === undefined || pager === undefined) throw new Error('there are two tokens');
    const call = rotationOf(scene, 'call-1', siem, 'effect');
    const [rotation] = (await callers.call(call))?.rotations ?? [];
    const hear = (name: string, cutAfter: number) =>
      listen({ history, ports, chance, bearer: siem, name, rotation: rotation?.id ?? '', cutAfter });
    await Promise.all([hear('one that stays', Number.POSITIVE_INFINITY), hear('one that is cut off', 1)]);
    await callers.call(call);
    await callers.call(rotationOf(scene, 'call-2', pager, 'effect'));
    await revokeToken(scene, pager);
    await isRefusedEverywhere(callers, history, ports, rotationOf(scene, 'call-3', pager, 'refusal'));
  },
});

/** A key is reported, and again when it is destroyed; and one of nobody is. */
const leaked = kindOf<Served>({
  name: 'leaked',
  open,
  crew,
  async play(scene) {
    const callers = calm(scene);
    const bearer = await makeToken(scene, 'siem', 'rotate,read');
    const [client] = enrolled(scene);
    if (client === undefined) throw new Error('there is no client');
    const theft = await steal(client);
    const stranger = makeKey('ES256').privateKey;
    await callers.call(reportOf(theft.key, 0, { name: 'leak-1', bearer, due: 'effect' }));
    await untilDestroyed(scene, theft);
    await callers.call(reportOf(theft.key, 1, { name: 'leak-2', bearer, due: 'nothing' }));
    await callers.call(reportOf(stranger, 2, { name: 'leak-3', bearer, due: 'nothing' }));
    scene.atRest(() => hunt(scene, [theft.key, stranger]));
  },
});

export const CALLS = [called, leaked] as const;
