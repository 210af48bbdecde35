/** Checks of the workers: whether there are any, and whether they go by one config. */
import { countWorkers } from '../../../jobs/result.ts';
import { advice, type Check, fine, wrong } from '../../runtime/checks/check.ts';
import type { ServiceNote } from '../../store/presence.ts';
import { withQueues } from '../queues.ts';
import type { StoreView } from '../view.ts';

export async function checkWorkers({ config, target, store }: StoreView): Promise<readonly Check[]> {
  const workers = await withQueues({ config, redis: target, store }, countWorkers);
  if (workers === 0) return [advice('workers', 'no worker is connected: nothing is rotated', 'Run `rekeyd start`.')];
  return [fine('workers', `${workers} connected`), ...checkAgreement(await store.present())];
}

/** Each says of itself what keeps it from being ready: its config and secrets may be other ones than those of this machine. */
export async function checkServices({ store }: StoreView): Promise<readonly Check[]> {
  const fix = 'Correct that, then run `rekeyd reload`. A secret behind file: is read again by itself.';
  return [...(await store.present()).values()].flatMap(({ host, pid, problem }) =>
    problem === null ? [] : [wrong(`service ${host} (pid ${pid})`, problem, fix)],
  );
}

/** A job is worked on by whichever worker takes it: which config it meets must not be luck. */
export function checkAgreement(present: ReadonlyMap<string, ServiceNote>): readonly Check[] {
  const notes = [...present.values()];
  const names = new Set(notes.flatMap(({ config }) => Object.keys(config)));
  const differ = [...names].filter((part) => new Set(notes.map(({ config }) => config[part])).size > 1).sort();
  if (differ.length === 0) return notes.length < 2 ? [] : [fine('worker configs', `all ${notes.length} are the same`)];
  const groups = Map.groupBy(notes, ({ config }) => differ.map((part) => config[part] ?? '').join(' '));
  const largestFirst = [...groups.values()].sort((a, b) => b.length - a.length);
  const told = largestFirst.map((group) =>
    group
      .map(({ host, pid }) => `${host}:${pid}`)
      .sort()
      .join(' and '),
  );
  const detail = `${told.join(' against ')}: they differ in ${differ.join(', ')}`;
  const fix =
    'Give all workers of one namespace the same config. Workers of another environment need another namespace (docs/operations.md).';
  return [wrong('worker configs', detail, fix)];
}
