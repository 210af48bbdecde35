/** The pages that show the fleet, clients, one client and the queues, and the stream that keeps them up to date. */

import { queuesView } from '../../../jobs/queues-view.ts';
import { putOffRequests } from '../../../jobs/waiting.ts';
import { appPaths } from '../../config/lookup.ts';
import { APP_PATH } from '../../core/client.ts';
import { isClientState } from '../../core/state.ts';
import { hasCode, messageOf } from '../../errors.ts';
import { CLIENT_CONDITIONS, CLIENT_ORDERS, type ClientQuery } from '../../status/views.ts';
import { notKnown, type Principal } from '../principal.ts';
import { ProblemError } from '../problem.ts';
import type { Sink } from '../route.ts';
import { clientForms, fleetForms } from './actions/forms.ts';
import { ASSETS, type AssetName, asset } from './assets.ts';
import { knownClient, pathOf, visibleRef } from './client.ts';
import { MOST_OF_A_VISITOR } from './live.ts';
import type { PageAnswer, PageCall, PageContext, PageRoute, Visitor } from './routes.ts';
import { clientPage } from './views/client/client.ts';
import { type Choices, clientsPage } from './views/clients.ts';
import { fleetPage, fleetTitle } from './views/fleet/fleet.ts';
import { queuesPage } from './views/fleet/queues.ts';

/** How many clients a page of the list has. */
const PAGE = 50;

export const shownRoutes: readonly PageRoute[] = [
  { ...{ method: 'GET', path: '/', scope: 'read' }, handle: fleet },
  { ...{ method: 'GET', path: '/clients', scope: 'read' }, handle: clients },
  { ...{ method: 'GET', path: '/clients/{deployment}/{app}/{client}', scope: 'read' }, handle: client },
  { ...{ method: 'GET', path: '/queues', scope: 'read' }, handle: queues },
  { ...{ method: 'GET', path: '/live', scope: 'read' }, handle: live },
  ...ASSETS.map((name) => assetRoute(name)),
];

async function fleet({ context, visitor, query }: PageCall): Promise<PageAnswer> {
  // A restricted token may not see the whole fleet.
  if (visitor.principal.only !== null) return { to: '/clients' };
  const view = await context.views.fleet();
  return { title: fleetTitle(view), body: fleetPage(view, fleetForms(visitor, view, query.get('open'))) };
}

async function clients({ context, visitor, query }: PageCall): Promise<PageAnswer> {
  const asked = queryOf(query, visitor.principal);
  const found = context.views.clients(asked).catch((error: unknown) => {
    if (!hasCode(error, 'usage')) throw error;
    throw new ProblemError(400, `This page of the list cannot be shown. ${messageOf(error)}`);
  });
  const [list, now] = await Promise.all([found, context.resources.store.now()]);
  return { title: 'Clients', body: clientsPage(list, asked, choicesOf(context, visitor.principal), now) };
}

/** Parameters that cannot be used are ignored: the form of the page shows what is in force. */
export function queryOf(query: URLSearchParams, { only }: Principal): ClientQuery {
  const given = (name: string) => query.get(name)?.trim().slice(0, 400) || null;
  const [state, app] = [given('state'), given('app')];
  return {
    text: given('q') ?? '',
    state: state !== null && isClientState(state) ? state : null,
    app: app !== null && APP_PATH.test(app) ? app : null,
    policy: given('policy'),
    condition: CLIENT_CONDITIONS.find((one) => one === given('condition')) ?? null,
    order: CLIENT_ORDERS.find((one) => one === given('order')) ?? 'urgency',
    after: given('after'),
    limit: PAGE,
    only,
  };
}

/** The filters offer a restricted token only what it may see. */
function choicesOf({ resources: { config } }: PageContext, { only }: Principal): Choices {
  const apps = appPaths(config);
  const seen = only === null ? apps : apps.filter((app) => only === app || only.startsWith(`${app}/`));
  return { apps: seen, policies: only === null ? Object.keys(config.policies) : [] };
}

async function client(call: PageCall): Promise<PageAnswer> {
  const { context, visitor, params } = call;
  const ref = visibleRef(pathOf(params), call);
  const view = await context.views.client(ref);
  if (view === null) throw notKnown(`The client ${ref}`);
  return { title: params.client ?? '', body: clientPage(view, clientForms(visitor, view)) };
}

async function queues({ context, visitor: { principal } }: PageCall): Promise<PageAnswer> {
  const { only, claimedBy } = principal;
  if (only !== null) {
    throw new ProblemError(403, `${claimedBy} is for ${only} alone, and the queues hold jobs of all clients.`);
  }
  const { resources, queues } = context;
  const deployments = resources.config.deployments.map(({ id }) => id);
  const view = await queuesView(queues, deployments, await resources.store.now());
  return { title: 'Queues', body: queuesPage(view, await putOffRequests(queues)) };
}

async function live(call: PageCall): Promise<PageAnswer> {
  const { context, visitor, query } = call;
  const asked = query.get('client');
  const about = asked === null ? null : await knownClient(asked, call);
  return {
    stream: (sink: Sink) => refuseOver(context.live.look({ principal: visitor.principal, client: about }, sink)),
  };
}

/** A page without a stream asks every few seconds. @throws ProblemError 429, 503 */
function refuseOver(look: ReturnType<PageContext['live']['look']>): void {
  if (look === 'full') throw new ProblemError(503, 'Too many pages are open.');
  if (look === 'caller_full') {
    throw new ProblemError(429, `This token has ${MOST_OF_A_VISITOR} open pages already. Close one.`);
  }
}

/** The address holds a hash of the content, so the content of one address never changes. */
function assetRoute(name: AssetName): PageRoute {
  return {
    ...{ method: 'GET', path: `/assets/${name}`, scope: null },
    async handle({ query }: PageCall<Visitor | null>) {
      const { text, type, hash } = asset(name);
      const isNamed = query.get('v') === hash;
      return {
        file: text,
        type,
        headers: { 'cache-control': isNamed ? 'public, max-age=31536000, immutable' : 'no-cache' },
      };
    },
  };
}
