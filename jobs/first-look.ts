/**
 * What a start tells before it changes anything: the clients of apps that this store does not know yet, what will happen to them, and which names in the
 * config have changed since the last start. It reads lists and sends nothing.
 */
import { policyFor } from '../src/config/lookup.ts';
import type { AppConfig } from '../src/config/model.ts';
import { type ClientRef, makeReference } from '../src/core/client.ts';
import type { ObservedClient } from '../src/core/document.ts';
import { isEligible } from '../src/core/due.ts';
import type { Policy } from '../src/core/policy.ts';
import { messageOf } from '../src/errors.ts';
import type { DeploymentResources, Resources } from '../src/rotation/resources.ts';
import { after } from '../src/time.ts';
import { departedApps, knownBefore } from './renamed.ts';

/** How long a start waits for the lists of an app, in ms. After that it goes on: the first sweep reads them again. */
const PATIENCE_MS = 10_000;

/** What will happen to a client that is found. */
const FATES = {
  import:
    'they are found and left alone. Import their keys (`rekeyd keys import --dir DIR --dry-run` shows what it would do), and enroll them when their applications read their key folders (`rekeyd enroll`)',
  overlap:
    'adopt: overlap offers each of them a key of ours beside its own, where its server takes several keys, and leaves the others alone. Let their applications read their key folders: a client is enrolled when a signer reports our key, or by `rekeyd enroll`',
  take_over:
    'adopt: take_over rotates them as soon as their windows allow, and applications that do not read their key folders cannot sign in any more. Stop now and set adopt: import, unless that is meant',
} as const satisfies Record<Policy['adopt'], string>;

/** What happens to found clients where no schedule runs, under any policy. */
const UNSCHEDULED =
  'no schedule runs here, so they are not taken in. Run `rekeyd start` with a schedule, or import their keys (`rekeyd keys import --dir DIR --dry-run` shows what that would do)';

/**
 * Never throws for what an API does: a start goes on without it.
 * @param isScheduled clients are found, and rotated, by themselves
 */
export async function tellFirstLook(resources: Resources, isScheduled: boolean): Promise<void> {
  const { store, log } = resources;
  const departed = await departedApps(resources);
  for (const app of departed) {
    const clients = await store.appCount(app);
    log.warn({ app, clients }, 'the config does not name this app any more: nothing is done for its clients');
  }
  await tellPolicies(resources);
  await Promise.all(
    [...resources.deployments.values()].map(async (deployment) => {
      const { id, apps } = deployment.config;
      try {
        for (const app of apps) {
          const isNew = (await store.appCount(`${id}/${app.slug}`)) === 0;
          if (isNew || departed.length > 0) await tellApp(deployment, app, departed, isScheduled, resources);
        }
      } catch (error) {
        const what = 'it is not known yet which clients there are: the list cannot be read now';
        log.warn({ deployment: id, error: messageOf(error) }, what);
      }
    }),
  );
}

interface Tally {
  /** By policy. */
  readonly found: Map<string, number>;
  /** By the old app: clients that are known under its name, and one of them. */
  readonly renamed: Map<string, { clients: number; readonly example: ClientRef }>;
  others: number;
}

async function tellApp(
  deployment: DeploymentResources,
  { slug }: AppConfig,
  departed: readonly string[],
  isScheduled: boolean,
  resources: Resources,
): Promise<void> {
  const { id } = deployment.config;
  const tally: Tally = { found: new Map(), renamed: new Map(), others: 0 };
  await deployment.countCall();
  const keep = async (clients: readonly ObservedClient[]) => {
    await count(
      clients.map((client) => [makeReference(id, slug, client.id), client] as const),
      tally,
      departed,
      resources,
    );
    return [];
  };
  await deployment.wacht.listClients(slug, keep, after(PATIENCE_MS));
  const app = `${id}/${slug}`;
  for (const [old, { clients, example }] of tally.renamed) {
    resources.log.warn({ app, before: old, clients, example }, RENAMED);
  }
  for (const [policy, clients] of tally.found) {
    const adopt = resources.config.policies[policy]?.adopt ?? 'import';
    const level = isScheduled && adopt === 'take_over' ? 'warn' : 'info';
    const fate = isScheduled ? FATES[adopt] : UNSCHEDULED;
    resources.log[level]({ app, policy, adopt, clients, others: tally.others }, `new clients: ${fate}`);
  }
}

const RENAMED =
  'the deployment or app of these clients has another name in the config than before. Their keys, folders and audit entries stand under the old one, so under the new one they are left alone. Put the old name back; or, if the new one is right, `rekeyd keys import --dir KEY_FOLDER` (the path of the sink) takes their keys over under it, with --enroll for those that read their folders';

async function count(
  clients: readonly (readonly [ClientRef, ObservedClient])[],
  tally: Tally,
  departed: readonly string[],
  { store, config }: Resources,
): Promise<void> {
  const seen = await store.seen(clients.map(([ref]) => ref));
  const fresh = clients.filter((_, index) => (seen[index] ?? null) === null);
  const before = await knownBefore(fresh, departed, { store });
  for (const [ref, client] of fresh) {
    const policy = policyFor(config, ref)?.name;
    const old = before.get(ref);
    if (old !== undefined) {
      const app = old.slice(0, old.lastIndexOf('/'));
      const told = tally.renamed.get(app) ?? { clients: 0, example: old };
      tally.renamed.set(app, { ...told, clients: told.clients + 1 });
    } else if (policy !== undefined && isEligible(client)) {
      tally.found.set(policy, (tally.found.get(policy) ?? 0) + 1);
    } else tally.others += 1;
  }
}

/** Nothing in the store goes by a policy's name, so a renamed one changes nothing but its settings. A person may still have meant something else. */
async function tellPolicies({ store, config, log }: Resources): Promise<void> {
  for (const { id, apps } of config.deployments) {
    for (const app of apps) {
      const names = policiesOf(app);
      const before = await store.notePolicies(`${id}/${app.slug}`, names);
      const gone = before?.filter((name) => !names.includes(name) && config.policies[name] === undefined) ?? [];
      const fresh = names.filter((name) => !before?.includes(name));
      if (gone.length === 0) continue;
      const what = 'policies were renamed or removed: the clients keep their keys and ages, and go by the new settings';
      log.warn({ app: `${id}/${app.slug}`, before: gone, now: fresh }, what);
    }
  }
}

function policiesOf({ clients, policy }: AppConfig): readonly string[] {
  const names = clients === 'all' ? [policy] : clients.map((client) => client.policy);
  return [...new Set(names)].sort();
}
