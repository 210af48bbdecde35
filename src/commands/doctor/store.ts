/** Checks of the store: whether it keeps what it is given, whether it is the right one, and whether what it holds can be used. */
import { decodeProtectedHeader } from 'jose';
import { openQueues } from '../../../jobs/queues.ts';
import { countWorkers } from '../../../jobs/result.ts';
import type { Config } from '../../config/model.ts';
import type { ClientRef } from '../../core/client.ts';
import { formatDuration } from '../../core/duration.ts';
import { messageOf } from '../../errors.ts';
import { openKey } from '../../keys/sealed.ts';
import { keksOf } from '../../rotation/policy.ts';
import { redisGroup } from '../../runtime/resources.ts';
import { checkIdentity } from '../../store/identity.ts';
import type { Loaded } from '../../store/records.ts';
import { type Finding, inspectDurability } from '../../store/redis/durability.ts';
import { inspectGroup } from '../../store/redis/group.ts';
import { systemClock } from '../../time.ts';
import { type StoreView, viewStore } from '../view.ts';
import { advice, type Check, fine, looking, wrong } from './check.ts';

/** How many keys are decrypted to see that the KEKs are the right ones. */
const OPENED = 5;

export async function checkStore(config: Config): Promise<readonly Check[]> {
  const group = redisGroup(config.redis.server);
  const nodes = group === null ? [] : (await inspectGroup(group)).map(redisCheck);
  return [...nodes, ...(await checkReachable(config))];
}

async function checkReachable(config: Config): Promise<readonly Check[]> {
  let view: StoreView;
  try {
    view = await viewStore(config);
  } catch (error) {
    const fix =
      'Start Redis, or correct the redis section. Rotations wait until it is back; signers go on with the keys they have.';
    return [{ ...wrong('redis', messageOf(error), fix), unreachable: true }];
  }
  try {
    return await checkView(config, view);
  } finally {
    await view.close();
  }
}

async function checkView(config: Config, view: StoreView): Promise<readonly Check[]> {
  const { store } = view;
  const look = (name: string, work: () => Promise<Check | readonly Check[]>) =>
    looking(name, 'Mend that, and run doctor again.', work);
  const refs = await store.clientRefs();
  const loaded = await store.loadMany(refs);
  return [
    ...(await look('redis', () => checkDurability(config, view))),
    ...(await look('store', async () => {
      const { id } = await checkIdentity(view.redis, config.dataDir);
      return fine('store', `${id}, ${refs.length} clients`);
    })),
    ...(await look('store clock', () => checkStoreClock(view))),
    ...(await look('keks', () => checkKeks(config, view, loaded))),
    ...(await look('workers', () => checkWorkers(view))),
    ...(await look('paused', () => checkPaused(view))),
    checkHalted(loaded),
  ];
}

async function checkDurability(config: Config, { redis, target }: StoreView): Promise<readonly Check[]> {
  const group = 'group' in target ? target.group.kind : null;
  const findings = await inspectDurability(redis, { replicas: config.redis.replicas, group });
  return findings.map((finding) => {
    const { name, ok, detail } = finding;
    const check = redisCheck(finding);
    // Whoever chose relaxed knows; the others keep everything from working all the same.
    const borne = config.durability === 'relaxed' && ['persistence', 'eviction', 'failover'].includes(name);
    return !ok && borne ? { ...check, ok: true, detail: `${detail} (durability: relaxed)` } : check;
  });
}

function redisCheck({ name, ok, detail, fix }: Finding): Check {
  return { name: `redis ${name}`, ok, detail, fix };
}

/** Overlaps and due times are measured by the store's clock; assertions are signed by this machine's. */
async function checkStoreClock({ store }: StoreView): Promise<Check> {
  const before = systemClock.now();
  const skew = (await store.now()) - (before + systemClock.now()) / 2;
  const detail = `the store's clock is ${formatDuration(Math.abs(skew))} ${skew < 0 ? 'behind' : 'ahead of'} this machine's; overlaps and due times are measured by it`;
  if (Math.abs(skew) <= 5_000) return fine('store clock', detail);
  const fix = 'Synchronise the clocks of both machines (NTP).';
  return Math.abs(skew) > 60_000 ? wrong('store clock', detail, fix) : advice('store clock', detail, fix);
}

async function checkKeks(config: Config, { store }: StoreView, loaded: ReadonlyMap<ClientRef, Loaded>): Promise<Check> {
  const keks = keksOf(config);
  const known = new Set<unknown>(keks.map(({ id }) => id));
  const [problems, counts] = [[] as string[], { sealed: 0, opened: 0, old: 0 }];
  for (const [ref, { record }] of loaded) {
    for (const [kid, jwe] of await store.sealedKeys(ref)) {
      counts.sealed += 1;
      const kek = decodeProtectedHeader(jwe).kid;
      const key = record.keys.find(({ thumbprint }) => thumbprint === kid);
      if (!known.has(kek))
        problems.push(`key ${kid} of ${ref} is sealed under the KEK ${JSON.stringify(kek)}, which is not configured`);
      else if (kek !== keks[0]?.id) counts.old += 1;
      if (!known.has(kek) || key === undefined || counts.opened >= OPENED) continue;
      counts.opened += 1;
      await openKey(jwe, { ref, kid, alg: key.alg }, keks).catch((error: unknown) => problems.push(messageOf(error)));
    }
  }
  const detail = `${counts.sealed} sealed keys, ${counts.opened} of them opened to see`;
  if (problems.length > 0) {
    return wrong(
      'keks',
      firstOf(problems),
      'Put the missing KEK back under encryption.keks, or its right value under its id.',
    );
  }
  if (counts.old === 0) return fine('keks', detail);
  return advice(
    'keks',
    `${detail}; ${counts.old} under an old KEK`,
    'Run `rekeyd keys rewrap` before the old KEK is removed.',
  );
}

async function checkWorkers({ target }: StoreView): Promise<Check> {
  const queues = openQueues(target, [], () => {});
  try {
    const workers = await countWorkers(queues);
    if (workers > 0) return fine('workers', `${workers} connected`);
    return advice('workers', 'no worker is connected: nothing is rotated', 'Run `rekeyd start`.');
  } finally {
    await queues.close();
  }
}

async function checkPaused({ store }: StoreView): Promise<Check> {
  const paused = [...(await store.pausedDeployments())].sort();
  if (paused.length === 0) return fine('paused deployments', 'none');
  const detail = `the API key was refused, so nothing is sent to: ${paused.join(', ')}`;
  return wrong('paused deployments', detail, 'Correct the API key and restart the workers; they resume by themselves.');
}

function checkHalted(loaded: ReadonlyMap<ClientRef, Loaded>): Check {
  const halted = [...loaded].flatMap(([ref, { record }]) =>
    record.halted === null ? [] : [`${ref}: ${record.halted}`],
  );
  if (halted.length === 0) return fine('halted clients', 'none');
  return wrong('halted clients', firstOf(halted), 'Remove the cause, then `rekeyd rotate CLIENT` takes it up again.');
}

/** Some of a list that may be as long as the fleet. */
function firstOf(lines: readonly string[]): string {
  const shown = lines.slice(0, 10).join('; ');
  return lines.length > 10 ? `${shown}; and ${lines.length - 10} more` : shown;
}
