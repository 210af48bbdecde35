/** Clients and how they are, page by page or one by one. */
import { z } from 'zod';
import { APP_PATH, parseReference, REFERENCE } from '../../core/client.ts';
import { CLIENT_STATES } from '../../core/state.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import { driftView } from '../../status/client/drift.ts';
import { namedStatus, readNamed } from '../../status/client/named.ts';
import { MOST_LOOKED_AT, type NameQuery, pageByName } from '../../status/clients/by-name.ts';
import { mayTouch, notKnown, type Principal } from '../principal.ts';
import { type Route, route } from '../route.ts';
import { CLIENT_EXAMPLE, clientPath, clientSchema, driftSchema, reference } from './schemas.ts';

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
      body: await pageByName(resources, pageQuery(principal, query)),
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
      const named = mayTouch(principal, ref) ? await readNamed(ref, resources) : null;
      if (named === null) throw notKnown(ref);
      return { status: 200, body: namedStatus(named, resources) };
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

function pageQuery({ only }: Principal, { app, policy, state, after, limit }: z.output<typeof listQuery>): NameQuery {
  const filter = { only, app: app ?? null, policy: policy ?? null, state: state ?? null, condition: null };
  return { ...filter, last: after === undefined ? null : parseReference(after), limit };
}
