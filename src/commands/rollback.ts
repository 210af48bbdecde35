import { randomUUID } from 'node:crypto';
import { rotationId } from '../../jobs/start.ts';
import { type ClientRef, parseReference } from '../core/client.ts';
import type { Cause } from '../core/history.ts';
import { activeKey } from '../core/keys.ts';
import { isInForce, pauseEntry, type Scope } from '../core/pause.ts';
import { rollback as begun } from '../core/rollback.ts';
import { clientPolicy } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import { type ChangeOptions, change, tell, wake } from './clients.ts';
import { follow, isGood } from './follow.ts';
import { awaitInterruption, caller, type Globals, withResources } from './open.ts';
import { note } from './output.ts';

export interface RollbackOptions extends ChangeOptions {
  readonly wait?: boolean;
}

/**
 * Puts the previous key back, as a rotation that makes none. Its client is paused: that key was due, and the next tick of the schedule would undo what was just
 * asked for.
 */
export async function rollback(globals: Globals, client: string, options: RollbackOptions): Promise<number> {
  const ref = parseReference(client);
  const reason = options.reason ?? 'rolled back on the command line';
  const cause = { ...caller(), reason, request: null };
  return withResources(globals, async (resources) => {
    const { store } = resources;
    const id = rotationId(store, `rollback ${randomUUID()}`, ref);
    const policy = clientPolicy(resources, ref);
    const now = await store.now();
    let kids: Pick<Rollback, 'kid' | 'replaces'> = { kid: null, replaces: null };
    const error = await change(resources, ref, (record) => {
      if (policy === null) return { record, entries: [] }; // `change` has refused it
      const begin = begun(record, { ...cause, id }, policy, now);
      kids = { kid: begin.record.rotation?.rollsBack?.kid ?? null, replaces: activeKey(record)?.kid ?? null };
      return begin;
    });
    const done: Rollback = { client: ref, error, rotation: error === null ? id : null, ...kids };
    if (error !== null) {
      tell([done], options, () => '');
      return 1;
    }
    await holdBack(resources, ref, cause);
    const workers = await wake(resources, ref);
    tell([done], options, (one) => lineOf(one, workers));
    return options.wait ? awaited(globals, resources, ref, id) : 0;
  });
}

interface Rollback {
  readonly client: ClientRef;
  readonly error: string | null;
  readonly rotation: string | null;
  /** The key that is put back, and the one that it replaces. */
  readonly kid: string | null;
  readonly replaces: string | null;
}

function lineOf({ client, rotation, kid, replaces }: Rollback, workers: number): string {
  const what = `${client}: its previous key ${kid} is put back in place of ${replaces} (rotation ${rotation}).`;
  const then = `Schedules leave the client alone until \`rekeyd resume ${client}\`.`;
  if (workers > 0) return `${what} ${then}`;
  return `${what} No worker is connected: it is worked on when one starts (\`rekeyd start\`). ${then}`;
}

/** A pause of this client that somebody has begun before stays as it is. */
async function holdBack({ store }: Resources, ref: ClientRef, cause: Omit<Cause, 'request'>): Promise<void> {
  const scope: Scope = { client: ref };
  const now = await store.now();
  if ((await store.pausesOf([scope])).some((pause) => isInForce(pause, now))) return;
  const reason = `rolled back: ${cause.reason}`;
  const told = pauseEntry('schedule.paused', scope, { ...cause, reason }, { until: null });
  await store.beginPause({ scope, actor: cause.actor, reason, at: now, until: null }, [told]);
}

async function awaited(globals: Globals, { store }: Resources, client: ClientRef, id: string): Promise<number> {
  const { signal, release } = awaitInterruption(globals);
  try {
    const told = (line: string) => note(`${client}  ${line}`);
    let good = false;
    await follow(
      store,
      [{ id, client }],
      'active',
      { signal },
      {
        moved: (_, phase, why) => told(why === null ? phase : `${phase}: ${why}`),
        ended: (outcome) => {
          good = isGood(outcome, 'active');
        },
        looked: () => {},
      },
    );
    if (signal.aborted) note(`Stopped waiting. The rollback goes on; \`rekeyd status ${client}\` shows how far it is.`);
    return good ? 0 : 1;
  } finally {
    release();
  }
}
