/** What the page shows, read when somebody asks. */
import { byScope } from '../core/pause.ts';
import { CLIENT_STATES, type ClientState } from '../core/state.ts';
import { clientPolicy } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import { auditLogStatus } from './audit-log.ts';
import { clientStatus, deploymentStatus, pauseStatus, type Surroundings } from './build.ts';
import { driftView } from './drift.ts';
import type { RequestStatus } from './model.ts';
import { heardNow } from './signers.ts';
import type { ClientList, ClientView, FleetView, Views } from './views.ts';
import { webhookStatuses } from './webhooks.ts';

export interface ViewParts {
  readonly resources: Resources;
  /** Requests that a worker began, and put off: they stand in the queues. */
  requests(): Promise<readonly RequestStatus[]>;
}

/** @param current of the config in force */
export function openViews(current: () => ViewParts): Views {
  return {
    async fleet(): Promise<FleetView> {
      const { resources, requests } = current();
      const { store, config } = resources;
      const seen = await surroundings(resources);
      return {
        at: new Date(seen.now).toISOString(),
        reading: null,
        clients: await store.clientCount(),
        counts: Object.fromEntries(CLIENT_STATES.map((name) => [name, 0])) as Record<ClientState, number>, // one entry for each state
        compromised: 0,
        drifted: 0,
        signers_missing: 0,
        due: { now: 0, day: 0, week: 0 },
        deployments: config.deployments.flatMap(({ id, rateLimit }) => {
          const state = seen.deployments.get(id);
          const budget = { max: rateLimit.max, per_seconds: rateLimit.perMs / 1000, used: 0 };
          const times = { rotate_all_seconds: null, compromise_all_seconds: null };
          return state === undefined ? [] : [{ ...deploymentStatus(id, state), clients: 0, budget, ...times }];
        }),
        policies: [],
        workers: [],
        pauses: [...seen.pauses.values()].map(pauseStatus),
        waves: [],
        requests: await requests(),
        audit: await auditLogStatus(resources),
        webhooks: await webhookStatuses(config, store),
      };
    },
    async clients({ limit }): Promise<ClientList> {
      const { resources } = current();
      const seen = await surroundings(resources);
      const refs = await resources.store.refsAfter(null, limit);
      const loaded = await resources.store.loadMany(refs);
      const clients = [...loaded.values()].map(({ record }) => clientStatus(record, seen, resources));
      return { clients, next: null, matching: clients.length, reading: null };
    },
    async client(ref): Promise<ClientView | null> {
      const { resources } = current();
      const seen = await surroundings(resources);
      const loaded = await resources.store.load(ref);
      if (loaded === null) return null;
      const { record, now } = loaded;
      const heard = (await heardNow(new Map([[ref, record]]), now, resources)).get(ref) ?? record;
      return {
        status: clientStatus(heard, seen, resources),
        lifeline: { now, from: record.foundAt, until: now, keys: [], marks: [], planned: [] },
        rotations: [],
        entries: [],
        drift: driftView(record, clientPolicy(resources, ref)),
        advice: null,
      };
    },
  };
}

async function surroundings({ store, config }: Resources): Promise<Surroundings> {
  const [now, deployments, paused] = await Promise.all([
    store.now(),
    store.deploymentStates(config.deployments.map(({ id }) => id)),
    store.pauses(),
  ]);
  return { now, deployments, pauses: byScope(paused, now) };
}
