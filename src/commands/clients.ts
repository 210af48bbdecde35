import { change, enrollClient } from '../../jobs/by-hand.ts';
import type { Queues } from '../../jobs/queues.ts';
import { countWorkers } from '../../jobs/result.ts';
import { type ClientRef, parseReference } from '../core/client.ts';
import type { Enrolment } from '../core/record.ts';
import { abandon as abandoned } from '../core/request.ts';
import type { Resources } from '../rotation/resources.ts';
import { caller, type Globals, withResources } from './open.ts';
import { noteAbout, print, printJson } from './output.ts';
import { withQueues } from './queues.ts';

export interface ChangeOptions {
  readonly reason?: string;
  readonly json?: boolean;
}

export interface Changed {
  readonly client: ClientRef;
  readonly error: string | null;
}

/** Says of clients that their applications take their keys from us: from then on schedules rotate them. */
export async function enroll(globals: Globals, named: readonly string[], options: ChangeOptions): Promise<number> {
  const refs = [...new Set(named.map(parseReference))];
  const cause = { ...caller(), reason: options.reason ?? 'enrolled on the command line', request: null };
  return withResources(globals, async (resources) => {
    const changed: (Changed & { readonly was: Enrolment | null })[] = [];
    for (const ref of refs) {
      changed.push({ client: ref, ...(await enrollClient(resources, ref, cause, (one) => wake(resources, one))) });
    }
    tell(changed, options, ({ client, was }) =>
      was === 'enrolled' ? `${client} was enrolled already.` : `${client} is enrolled.`,
    );
    return changed.every(({ error }) => error === null) ? 0 : 1;
  });
}

/** Ends a rotation that cannot go on. A worker finds out which key the server takes, and goes to that one. */
export async function abandon(globals: Globals, client: string, options: ChangeOptions): Promise<number> {
  const ref = parseReference(client);
  const cause = { ...caller(), reason: options.reason ?? 'asked for on the command line', request: null };
  return withResources(globals, async (resources) => {
    const error = await change(resources, ref, (record) => abandoned(record, cause));
    const workers = error === null ? await wake(resources, ref) : 0;
    tell([{ client: ref, error }], options, () => endingOf(ref, workers));
    return error === null ? 0 : 1;
  });
}

function endingOf(ref: ClientRef, workers: number): string {
  if (workers === 0)
    return `The end of the rotation of ${ref} is queued, but no worker is connected. It is worked on when one starts (\`rekeyd start\`).`;
  return `The rotation of ${ref} ends, at the key that the server takes. \`rekeyd status ${ref}\` shows which.`;
}

/** @returns how many workers are connected */
export async function wake(resources: Resources, ref: ClientRef): Promise<number> {
  const deployments = resources.config.deployments.map(({ id }) => id);
  const waking = async (queues: Queues) => {
    await queues.wake(ref, false);
    return countWorkers(queues);
  };
  return withQueues(resources, waking, deployments);
}

export function tell<T extends Changed>(
  changed: readonly T[],
  { json }: ChangeOptions,
  line: (one: T) => string,
): void {
  if (json) printJson({ clients: changed });
  for (const one of changed) {
    if (one.error !== null) noteAbout(one.client, one.error);
    else if (!json) print(line(one));
  }
}
