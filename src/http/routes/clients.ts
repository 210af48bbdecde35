/** Clients and how they are, page by page or one by one. */
import { z } from 'zod';
import { policyFor } from '../../config/model.ts';
import { APP_PATH, type ClientRef, parseReference, REFERENCE } from '../../core/client.ts';
import { byScope } from '../../core/pause.ts';
import { CLIENT_STATES } from '../../core/state.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import { clientStatus, type Surroundings } from '../../status/build.ts';
import { driftView } from '../../status/drift.ts';
import type { ClientStatus } from '../../status/model.ts';
import { heardNow } from '../../status/signers.ts';
import { mayTouch, notKnown, type Principal } from '../principal.ts';
import { type Route, route } from '../route.ts';
import { CLIENT_EXAMPLE, clientPath, clientSchema, driftSchema, reference } from './schemas.ts';

/** Clients that are read for one answer, even if only few of them match: the caller gets the rest with `next`. */
const MOST_LOOKED_AT = 1_000;

const MOST_LISTED = 500;

const listQuery = z.strictObject({
  app: z.string().regex(APP_PATH, 'must be deployment/app-slug').optional().describe('Only clients of this app.'),
  policy: z.string().max(128).optional().describe('Only clients of this policy.'),
  state: z.enum(CLIENT_STATES).optional().describe('Only clients in this state.'),
  after: z
    .string()
    .regex(REFERENCE, 'must be a client reference')
    .optional()
    .describe('Only clients after this one, in alphabetical order of the references: `next` of the page before.'),
  limit: z.coerce.number().int().min(1).max(MOST_LISTED).default(100).describe('At most so many.'),
});

type ListQuery = z.output<typeof listQuery>;

const page = z
  .object({
    clients: z.array(clientSchema),
    next: reference.nullable().describe('Ask on with after=NEXT; null: there are no more.'),
  })
  .meta({ id: 'ClientPage' });

export const clientRoutes: readonly Route[] = [
  route({
    ...{ method: 'GET', path: '/v1/clients', scope: 'read', id: 'listClients' },
    summary: 'Clients and how they are.',
    description: `A page may hold fewer than \`limit\`, also none: with a filter at most ${MOST_LOOKED_AT} clients are looked at for one. Go on until \`next\` is null.`,
    query: listQuery,
    answers: { 200: { description: 'One page of clients.', schema: page } },
    examples: { query: { limit: 10 } },
    handle: async ({ context: { resources }, principal, query }) => ({
      status: 200,
      body: await pageOf(resources, principal, query),
    }),
  }),
  route({
    ...{ method: 'GET', path: '/v1/clients/{deployment}/{app}/{client}', scope: 'read', id: 'getClient' },
    summary: 'One client and how it is.',
    params: clientPath,
    answers: { 200: { description: 'The client.', schema: clientSchema } },
    problems: { 404: 'It is not known, or the token may not see it.' },
    examples: { params: CLIENT_EXAMPLE },
    async handle({ context: { resources }, principal, params: { deployment, app, client } }) {
      const ref = parseReference(`${deployment}/${app}/${client}`);
      const [status] = mayTouch(principal, ref) ? await statusesOf(resources, [ref], true) : [];
      if (status === undefined) throw notKnown(ref);
      return { status: 200, body: status };
    },
  }),
  route({
    ...{ method: 'GET', path: '/v1/clients/{deployment}/{app}/{client}/drift', scope: 'read', id: 'getDrift' },
    summary: 'The document on the server beside ours.',
    description:
      'As the server was last seen by upkeep (`reconcile_every`): no call to it is made. `rekeyd drift` reads it anew.',
    params: clientPath,
    answers: { 200: { description: 'What differs, and what comes of it.', schema: driftSchema } },
    problems: { 404: 'It is not known, or the token may not see it.' },
    examples: { params: CLIENT_EXAMPLE },
    async handle({ context: { resources }, principal, params: { deployment, app, client } }) {
      const ref = parseReference(`${deployment}/${app}/${client}`);
      const loaded = mayTouch(principal, ref) ? await resources.store.load(ref) : null;
      if (loaded === null) throw notKnown(ref);
      return { status: 200, body: driftView(loaded.record, clientPolicy(resources, ref)) };
    },
  }),
];

async function pageOf(resources: Resources, principal: Principal, query: ListQuery) {
  const { policy, state, limit } = query;
  const found: ClientStatus[] = [];
  let last = query.after ?? null;
  for (let looked = 0; looked < MOST_LOOKED_AT; ) {
    const size = policy === undefined && state === undefined ? limit - found.length : limit;
    const refs = await refsAfter(resources, principal, query.app, last, size);
    looked += refs.length;
    const wanted = refs.filter((ref) => policy === undefined || policyFor(resources.config, ref)?.name === policy);
    const statuses = await statusesOf(resources, wanted, false);
    const listed = statuses.filter((one) => state === undefined || one.state === state);
    const fitting = listed.slice(0, limit - found.length);
    found.push(...fitting);
    if (refs.length < size && fitting.length === listed.length) return { clients: found, next: null };
    last = fitting.length < listed.length ? (fitting.at(-1)?.client ?? last) : (refs.at(-1) ?? last);
    if (found.length >= limit) break;
  }
  return { clients: found, next: last };
}

async function refsAfter(
  { store }: Resources,
  { only }: Principal,
  app: string | undefined,
  last: string | null,
  limit: number,
): Promise<readonly ClientRef[]> {
  if (only !== null && REFERENCE.test(only)) {
    const isWanted = (last === null || only > last) && (app === undefined || only.startsWith(`${app}/`));
    return isWanted ? [parseReference(only)] : [];
  }
  if (only !== null && app !== undefined && app !== only) return [];
  const place = app ?? only;
  if (place === null) return store.refsAfter(last, limit);
  // A page of another app may end before this one begins, or after it has ended.
  const from = last === null || last <= `${place}/` ? null : parseReference(last);
  return store.appRefs(place, limit, from);
}

/** In the order of `refs`, without those that are not known. @param isHeard their signers are asked what they hold now, which takes a look into their folders */
async function statusesOf(
  resources: Resources,
  refs: readonly ClientRef[],
  isHeard: boolean,
): Promise<readonly ClientStatus[]> {
  const { store, config } = resources;
  if (refs.length === 0) return [];
  const [now, deployments, paused, loaded] = await Promise.all([
    store.now(),
    store.deploymentStates(config.deployments.map(({ id }) => id)),
    store.pauses(),
    store.loadMany(refs),
  ]);
  const seen: Surroundings = { now, deployments, pauses: byScope(paused, now) };
  const stored = new Map([...loaded].map(([ref, { record }]) => [ref, record]));
  const records = isHeard ? await heardNow(stored, now, resources) : stored;
  return refs.flatMap((ref) => {
    const record = records.get(ref);
    return record === undefined ? [] : [clientStatus(record, seen, resources)];
  });
}
