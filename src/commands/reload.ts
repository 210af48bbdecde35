/** `rekeyd reload`: every service reads its config again, and says what came of it. */
import { randomUUID } from 'node:crypto';
import type { ReloadOutcome, ServiceNote } from '../store/presence.ts';
import { monotonic, sleep } from '../time.ts';
import { author, type Globals, withResources } from './open.ts';
import { note, print, printJson } from './output.ts';

export interface ReloadOptions {
  readonly reason?: string;
  readonly json?: boolean;
}

/** How long services may take to answer, in ms. A run under way does not hold them up. */
const PATIENCE_MS = 60_000;

const POLL_MS = 200;

type Answer = Pick<ServiceNote, 'host' | 'pid'> & { readonly outcome: ReloadOutcome | { readonly kind: 'silent' } };

/** Ends with 1 when a service goes on with its config from before, or does not answer. */
export async function reload(globals: Globals, { reason, json = false }: ReloadOptions): Promise<number> {
  return withResources(globals, async ({ store }) => {
    const wish = { id: randomUUID(), ...author(), reason: reason ?? 'asked for on the command line' };
    const asked = await store.present();
    await store.wishReload(wish);
    if (asked.size > 0 && !json) note(`${counted(asked.size)} asked to read the config again …`);
    const deadline = monotonic() + PATIENCE_MS;
    let answers = answersOf(asked, asked, wish.id);
    while (answers.some(({ outcome }) => outcome.kind === 'silent') && monotonic() < deadline) {
      await sleep(POLL_MS);
      answers = answersOf(asked, await store.present(), wish.id);
    }
    if (json) printJson({ services: answers });
    else if (answers.length === 0) print('No service runs. The next one reads the config when it starts.');
    else for (const line of answers.flatMap(linesOf)) print(line);
    return answers.every(({ outcome }) => outcome.kind === 'changed' || outcome.kind === 'unchanged') ? 0 : 1;
  });
}

/** Of those that were there when they were asked. One that has ended since has nothing to answer. */
function answersOf(
  asked: ReadonlyMap<string, ServiceNote>,
  now: ReadonlyMap<string, ServiceNote>,
  wish: string,
): readonly Answer[] {
  return [...asked.keys()].flatMap((service) => {
    const found = now.get(service);
    if (found === undefined) return [];
    const { host, pid, reload } = found;
    return [{ host, pid, outcome: reload?.wish === wish ? reload.outcome : { kind: 'silent' as const } }];
  });
}

function linesOf({ host, pid, outcome }: Answer): readonly string[] {
  const who = `${host} (pid ${pid})`;
  switch (outcome.kind) {
    case 'changed':
      return [`${who} works with the new config:`, ...outcome.changes.map((change) => `  ${change}`)];
    case 'unchanged':
      return [`${who}: nothing has changed.`];
    case 'refused':
      return [
        `${who} cannot use it, and goes on with the config from before:`,
        ...outcome.problems.map((problem) => `  ${problem}`),
      ];
    case 'silent':
      return [`${who} has not answered within ${PATIENCE_MS / 1000} s. See its log; it reads the config when it can.`];
    default:
      return outcome satisfies never;
  }
}

function counted(services: number): string {
  return services === 1 ? '1 service is' : `${services} services are`;
}
