/** Checks of the store: whether it keeps what it is given, whether it is the right one, and whether what it holds can be used. */
import { sealProblem } from '../../audit/seal.ts';
import type { Config } from '../../config/model.ts';
import type { ClientRef } from '../../core/client.ts';
import { usesReportedKey } from '../../core/keys.ts';
import { isInForce, scopeWords, selectorOf } from '../../core/pause.ts';
import { hasCode, messageOf, RekeydError } from '../../errors.ts';
import { WHILE_REFUSED } from '../../rotation/deployment.ts';
import { keksOf } from '../../rotation/policy.ts';
import { advice, type Check, fine, looking, wrong } from '../../runtime/checks/check.ts';
import { checkStoreClock } from '../../runtime/checks/clocks.ts';
import { checkKeks } from '../../runtime/checks/keks.ts';
import { checkKms } from '../../runtime/checks/kms.ts';
import { redisGroup } from '../../runtime/redis-target.ts';
import { webhookProblem, webhookStatuses } from '../../status/fleet/webhooks.ts';
import { readFacts, readMarker, waysOn, whereNow, whyLost } from '../../store/identity.ts';
import type { Loaded } from '../../store/records.ts';
import { inspectDurability, type Requirement } from '../../store/redis/durability.ts';
import { inspectGroup } from '../../store/redis/group.ts';
import { sealLine } from '../seal-line.ts';
import { type StoreView, viewStore } from '../view.ts';
import { checkAuditLog } from './audit.ts';
import { checkEnrolment } from './enrolment.ts';
import { checkProbes } from './probes.ts';
import { checkRights } from './rights.ts';
import { checkServices, checkWorkers } from './workers.ts';

export async function checkStore(config: Config): Promise<readonly Check[]> {
  const { server } = config.redis;
  const isGroup = server.kind === 'sentinels' || server.kind === 'cluster';
  const nodes = isGroup ? (await inspectGroup(redisGroup(config, server))).map(redisCheck) : [];
  return [...nodes, ...(await checkReachable(config))];
}

async function checkReachable(config: Config): Promise<readonly Check[]> {
  let view: StoreView;
  try {
    view = await viewStore(config);
  } catch (error) {
    const isOurs = config.redis.server.kind === 'embedded';
    if (isOurs && (hasCode(error, 'config') || !(error instanceof RekeydError))) {
      return [wrong('data_dir', messageOf(error), 'Correct data_dir: rekeyd keeps its own Redis there.')];
    }
    if (hasCode(error, 'redis_denied')) return checkRights(config);
    const fix = 'Rotations wait until Redis is reached; signers go on with the keys they have.';
    return [{ ...wrong('redis', messageOf(error), fix), unreachable: true }];
  }
  try {
    return [...(await checkView(config, view)), ...(await checkRights(config))];
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
    ...(await look('store', () => checkIdentity(config, view))),
    checkEnrolment([...loaded.values()].map(({ record }) => record)),
    ...(await look('store clock', () => checkStoreClock(store))),
    ...(await checkKms(keksOf(config))),
    ...(await look('keks', () => checkKeks(keksOf(config), store))),
    ...(await look('audit seal', () => checkSeal(config, view))),
    ...(await look('workers', () => checkWorkers(view))),
    ...(await look('services', () => checkServices(view))),
    ...(await look('deployments', () => checkPaused(config, view))),
    ...(await look('pauses', () => checkPauses(view))),
    ...(await look('waves', () => checkWaves(config, view))),
    ...(await look('audit log', () => checkAuditLog(config, store))),
    ...(await look('probes', () => checkProbes(config, store))),
    ...(await look('webhooks', () => checkWebhooks(config, view))),
    checkHalted(loaded),
    ...checkReported(loaded),
  ];
}

async function checkIdentity({ dataDir }: Config, { redis, store }: StoreView): Promise<Check> {
  const [facts, marker] = [await readFacts(redis, store.keys), await readMarker(dataDir)];
  const why = whyLost(marker, facts);
  if (why === null) return fine('store', `${facts.id ?? 'new'}, ${facts.clients} clients`);
  return wrong('store', `it ${why}`, waysOn(await whereNow(redis, marker, facts)));
}

async function checkSeal(config: Config, { store }: StoreView): Promise<Check> {
  const problem = await sealProblem(store, keksOf(config));
  const { line, isLate } = await sealLine(store);
  if (problem !== null) return wrong('audit seal', `${line}. ${problem.message}`, SEAL_FIX);
  if (isLate)
    return wrong('audit seal', line, 'Is a worker running? It seals every few seconds; its log says why not.');
  return fine('audit seal', line);
}

const SEAL_FIX =
  'docs/audit.md, "When the seal is broken". Until then entries that are not sealed could be changed unnoticed.';

async function checkDurability(config: Config, { redis, target }: StoreView): Promise<readonly Check[]> {
  const group = 'group' in target ? target.group.kind : null;
  const requirements = await inspectDurability(redis, { replicas: config.redis.replicas, group });
  return requirements.map((requirement) => {
    const { name, ok, detail } = requirement;
    const check = redisCheck(requirement);
    // Relaxed mode allows this; the other requirements keep everything from working in both modes.
    const borne = config.durability === 'relaxed' && ['persistence', 'eviction', 'failover'].includes(name);
    return !ok && borne ? { ...check, ok: true, detail: `${detail} (durability: relaxed)` } : check;
  });
}

function redisCheck({ name, ok, detail, fix }: Requirement): Check {
  return { name: `redis ${name}`, ok, detail, fix };
}

async function checkPaused({ deployments }: Config, { store }: StoreView): Promise<readonly Check[]> {
  const states = await store.deploymentStates(deployments.map(({ id }) => id));
  return [...states].flatMap(([id, { paused, throttledUntil }]) => {
    const name = `deployment ${id}`;
    if (paused !== null) return [wrong(name, `paused: ${paused}`, WHILE_REFUSED)];
    if (throttledUntil === null) return [fine(name, 'neither paused nor throttled')];
    const detail = `the API asks to be left alone until ${new Date(throttledUntil).toISOString()}`;
    return [advice(name, detail, 'Rotations go on by themselves. If this comes often, lower rate_limit.')];
  });
}

/** By people: a pause that somebody has forgotten keeps keys growing older. */
async function checkPauses({ store }: StoreView): Promise<Check> {
  const now = await store.now();
  const pauses = (await store.pauses()).filter((pause) => isInForce(pause, now));
  if (pauses.length === 0) return fine('pauses', 'none');
  const told = pauses.map(({ scope, actor, reason, until }) => {
    const end = until === null ? '' : ` until ${new Date(until).toISOString()}`;
    return `${scopeWords(scope)}, by ${actor}${end}: ${reason}`;
  });
  const ways = pauses.slice(0, 10).map(({ scope }) => `\`rekeyd resume ${selectorOf(scope)}\``);
  return advice('pauses', firstOf(told), `No scheduled rotation begins there. When that is over: ${ways.join(', ')}.`);
}

async function checkWaves({ policies }: Config, { store }: StoreView): Promise<Check> {
  const stopped: string[] = [];
  for (const name of Object.keys(policies)) {
    const standing = await store.wave(name);
    if (standing?.wave.phase === 'stopped') stopped.push(`policy ${name}: ${standing.wave.why ?? ''}`);
  }
  if (stopped.length === 0) return fine('waves', 'none stopped');
  const ways = 'Nothing more of it is rotated on schedule. Find out why, then `rekeyd resume --policy NAME`.';
  return wrong('waves', firstOf(stopped), ways);
}

async function checkWebhooks(config: Config, { store }: StoreView): Promise<readonly Check[]> {
  return (await webhookStatuses(config, store)).map((status) => {
    const problem = webhookProblem(status);
    const name = `webhook ${status.webhook}`;
    return problem === null ? fine(name, 'delivered') : wrong(name, problem.what, problem.fix);
  });
}

function checkHalted(loaded: ReadonlyMap<ClientRef, Loaded>): Check {
  const halted = [...loaded].flatMap(([ref, { record }]) =>
    record.halted === null ? [] : [`${ref}: ${record.halted}`],
  );
  if (halted.length === 0) return fine('halted clients', 'none');
  return wrong('halted clients', firstOf(halted), 'Remove the cause, then `rekeyd rotate CLIENT` takes it up again.');
}

function checkReported(loaded: ReadonlyMap<ClientRef, Loaded>): readonly Check[] {
  const reported = [...loaded].flatMap(([ref, { record }]) => (usesReportedKey(record) ? [ref] : []));
  if (reported.length === 0) return [];
  const detail = `STILL SIGNING IN with keys that were reported: ${firstOf(reported)}`;
  return [wrong('COMPROMISED clients', detail, 'Remove the cause, then `rekeyd rotate CLIENT --compromised`.')];
}

/** Some of a list that may be as long as the fleet. */
function firstOf(lines: readonly string[]): string {
  const shown = lines.slice(0, 10).join('; ');
  return lines.length > 10 ? `${shown}; and ${lines.length - 10} more` : shown;
}
