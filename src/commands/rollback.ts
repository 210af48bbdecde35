import { randomUUID } from 'node:crypto';
import { rollBack } from '../../jobs/by-hand.ts';
import { type ClientRef, parseReference } from '../core/client.ts';
import type { Resources } from '../rotation/resources.ts';
import { type ChangeOptions, tell, wake } from './clients.ts';
import { follow, isGood } from './follow.ts';
import { awaitInterruption, caller, type Globals, withResources } from './open.ts';
import { note } from './output.ts';

export interface RollbackOptions extends ChangeOptions {
  readonly wait?: boolean;
}

/** See {@link rollBack}. */
export async function rollback(globals: Globals, client: string, options: RollbackOptions): Promise<number> {
  const ref = parseReference(client);
  const reason = options.reason ?? 'asked for on the command line';
  const cause = { ...caller(), reason, request: null };
  return withResources(globals, async (resources) => {
    let workers = 0;
    const done = await rollBack(resources, ref, cause, randomUUID(), async () => {
      workers = await wake(resources, ref);
    });
    const { error, rotation } = done;
    const told: Rollback = { client: ref, ...done, rotation: error === null ? rotation : null };
    tell([told], options, (one) => lineOf(one, workers));
    if (error !== null) return 1;
    return options.wait ? awaited(globals, resources, ref, rotation) : 0;
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
