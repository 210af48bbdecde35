/** One kind: its clients sign in all the time, while they are rotated. */
import type { Amount, Kind } from './kinds.ts';
import { startSignIns } from './sign-ins.ts';
import type { Ended, World } from './world.ts';

/** Sign-ins a second, of all clients of a kind together. */
export const PER_SECOND = 50;

export interface KindResult {
  readonly kind: Kind;
  /** In which they signed in. */
  readonly seconds: number;
  readonly rotations: { readonly wanted: number; readonly finished: number };
  readonly logins: { readonly ok: number; readonly fallback: number; readonly refused: number };
  /** Of each cutover: how long first tries were refused after its PATCH, in ms. */
  readonly exposedMs: readonly number[];
  readonly failures: readonly string[];
}

export async function runKind(world: World, kind: Kind, amount: Amount, perSecond = PER_SECOND): Promise<KindResult> {
  const { turns, clients, each } = amount;
  const logins = { ok: 0, fallback: 0, refused: 0 };
  const [exposedMs, failures]: [number[], string[]] = [[], []];
  let [finished, seconds] = [0, 0];
  for (let turn = 0; turn < turns; turn += 1) {
    const those = await Promise.all(
      Array.from({ length: clients }, (_, at) => world.enrolled(kind, kind.algs[at % kind.algs.length] ?? 'ES256')),
    );
    const startedAt = performance.now();
    const signIns = await startSignIns(those, world.issuer, perSecond);
    const ended: Ended[] = [];
    await Promise.all(
      those.map(async (client) => {
        try {
          for (let count = 0; count < each; count += 1) ended.push(await world.rotate(client));
        } catch (error) {
          failures.push(`${kind.name}: ${error}`);
        }
      }),
    );
    await signIns.stop();
    seconds += (performance.now() - startedAt) / 1000;
    for (const one of ended) {
      const { state, strategy, error } = one.rotation;
      const isRight = strategy === kind.strategy && (kind.to ?? one.alg) === one.alg;
      if (state === 'finished' && isRight) finished += 1;
      else
        failures.push(
          `${kind.name}: a rotation of ${one.client.ref} is a ${strategy} to ${one.alg}, ${state}: ${error}`,
        );
      if (kind.strategy === 'cutover') exposedMs.push(exposed(one, signIns.refusedFirst(one.client)));
    }
    failures.push(...signIns.refused.map((said) => `${kind.name}: a sign-in was refused: ${said}`));
    for (const client of kind.strategy === 'overlap' ? those : []) {
      for (const at of signIns.refusedFirst(client))
        failures.push(`${kind.name}: a first try of ${client.ref} was refused at ${new Date(at).toISOString()}`);
    }
    logins.ok += signIns.ok;
    logins.fallback += signIns.fallback;
    logins.refused += signIns.refused.length;
  }
  return { kind, seconds, rotations: { wanted: turns * clients * each, finished }, logins, exposedMs, failures };
}

/** From the PATCH to the last first try that was refused: then the signer signs with the new key. 0: no sign-in fell into it. */
function exposed({ patchedAt, endedAt }: Ended, refusedFirst: readonly number[]): number {
  const within = refusedFirst.filter((at) => at >= patchedAt && at <= endedAt);
  return within.length === 0 ? 0 : Math.max(...within) - patchedAt;
}
