/** What people do on the server by hand. A change made in the moment before a PATCH is lost to it, and nobody can help that: they wait. */
import { PATCH_TIMEOUT } from './luck.ts';
import type { Excuses } from './promises.ts';
import { material, published } from './support.ts';
import type { World } from './world.ts';

export function addForeignKey(world: World, { foreign, taken }: Excuses): void {
  whileNothingIsSent(world, () => {
    const kid = `foreign-${foreign.length + taken.length + 1}`;
    world.server.keys = [...world.server.keys, published(kid).jwk];
    foreign.push(kid);
    world.happened(`somebody adds ${kid}`);
  });
}

/** The first of them stays: somebody may sign in with it. */
export function takeForeignKey(world: World, { foreign, taken }: Excuses): void {
  if (foreign.length === 1) return;
  whileNothingIsSent(world, () => {
    const kid = foreign.pop() ?? '';
    world.server.keys = world.server.keys.filter((key) => key.kid !== kid);
    taken.push(kid);
    world.happened(`somebody takes ${kid} away`);
  });
}

/** Publishes the latest former key again. */
export function putBack(world: World, { putBack }: Excuses, underItsName: boolean): void {
  const { former: past, keys } = world.record;
  const former = past.findLast(({ id }) => !keys.some((key) => key.id === id));
  if (former === undefined) return;
  whileNothingIsSent(world, () => {
    const { alg } = world.made.get(former.kid) ?? material(former.kid);
    putBack.add(former.id);
    const name = underItsName ? former.kid : `back-${world.version}`;
    world.server.keys = [...world.server.keys, published(former.kid, alg, name).jwk];
    world.happened(`somebody puts ${former.kid} back as ${name}`);
  });
}

function whileNothingIsSent(world: World, change: () => void): void {
  world.pass(PATCH_TIMEOUT);
  change();
  world.pass(PATCH_TIMEOUT);
}
