/** `rekeyd drift`: what servers show that rekeyd did not publish. It reads lists and the store, and writes nothing. {@link ./drift/settle.ts} decides. */
import { takeSeen } from '../../jobs/start.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { type ClientRef, makeReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { messageOf } from '../errors.ts';
import { PAGE, pagesOf } from '../parallel.ts';
import { isMarkedActive, isMarkedDrifted, looksAsSeen } from '../rotation/commit.ts';
import { appOf } from '../rotation/facts.ts';
import { knownOtherwise } from '../rotation/naming.ts';
import { type DriftView, driftView } from '../status/client/drift.ts';
import type { Store } from '../store/store.ts';
import { tellDrift, type Unread } from './drift/text.ts';
import type { Globals } from './open.ts';
import { type Select, type SelectOptions, selectionOf } from './select.ts';
import { type ApiView, expectPresent, policyOf, viewApis, viewStore } from './view.ts';

export interface DriftOptions extends Pick<SelectOptions, 'app' | 'policy'> {
  readonly limit?: number;
  readonly json?: boolean;
}

interface Sources {
  readonly config: Config;
  readonly store: Store;
  readonly apis: ApiView;
  readonly select: Select | null;
}

/** What was found. Clients that did not drift are counted only, unless they are named. */
interface Found {
  readonly views: DriftView[];
  readonly unread: Unread[];
  readonly unknown: string[];
}

/** Ends with 1 when clients have drifted, or cannot be compared, and with 3 when a list could not be read. */
export async function drift(globals: Globals, named: readonly string[], options: DriftOptions): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  const { app, policy, json = false, limit = Number.POSITIVE_INFINITY } = options;
  const asked = { ...(app !== undefined && { app }), ...(policy !== undefined && { policy }) };
  const { select } = selectionOf(named, asked, config);
  const apis = viewApis(config);
  try {
    const view = await viewStore(config);
    try {
      await expectPresent(config, view);
      const found = await findDrift({ config, store: view.store, apis, select });
      tellDrift(found, { now: await view.store.now(), limit, json });
      if (found.unread.some(({ client }) => client === undefined)) return 3;
      const hasDrifted = found.views.some(({ since }) => since !== null);
      return hasDrifted || found.unread.length + found.unknown.length > 0 ? 1 : 0;
    } finally {
      await view.close();
    }
  } finally {
    await apis.close();
  }
}

async function findDrift(sources: Sources): Promise<Found> {
  const found: Found = { views: [], unread: [], unknown: [] };
  const { config, store, select } = sources;
  for (const { id, apps } of config.deployments) {
    for (const { slug } of apps) {
      if (!isAsked(`${id}/${slug}`, select)) continue;
      try {
        await compareApp(id, slug, sources, found);
      } catch (error) {
        // A list that cannot be read says nothing of its clients: the others are told, and this one is no empty list.
        found.unread.push({ app: `${id}/${slug}`, error: messageOf(error) });
      }
    }
  }
  if (select === null || !('clients' in select)) return found;
  const told = new Set<string>(found.views.map(({ client }) => client));
  const away = new Set(found.unread.map(({ app, client }) => client ?? app));
  for (const ref of select.clients) {
    if (told.has(ref) || away.has(ref) || away.has(appOf(ref))) continue;
    found.unknown.push(
      (await knownOtherwise(store, ref)) ?? `${ref} is not known. \`rekeyd plan ${ref}\` asks the API for it.`,
    );
  }
  return found;
}

function isAsked(app: string, select: Select | null): boolean {
  if (select === null) return true;
  if ('app' in select) return select.app === app;
  return !('clients' in select) || select.clients.some((ref) => appOf(ref) === app);
}

/** One list, as reconcile reads it; only records that look different, or have drifted already, are loaded. */
async function compareApp(deployment: string, slug: string, sources: Sources, found: Found): Promise<void> {
  const { store, apis, select } = sources;
  const app = `${deployment}/${slug}`;
  const present = new Set<string>();
  const views: DriftView[] = [];
  const named = select !== null && 'clients' in select ? new Set(select.clients) : null;
  const facts = await store.appFacts(app);
  const readAt = await store.now();
  const take = async (clients: ReadonlyMap<ClientRef, ObservedClient | null>) => {
    const loaded = await store.loadMany([...clients.keys()]);
    for (const [ref, { record }] of loaded) {
      const policy = policyOf(sources.config, ref, facts);
      if (policy === null || (select !== null && 'policy' in select && policy.name !== select.policy)) continue;
      // What a worker has seen since the list was read stands.
      const now = takeSeen(record, { client: clients.get(ref) ?? null, readAt }, policy.policy).record;
      const view = driftView(now, policy.policy);
      if (view.since !== null || named !== null) views.push(view);
    }
  };
  const keep = async (clients: readonly ObservedClient[]) => {
    const refs = clients.map(({ id }) => makeReference(deployment, slug, id));
    const seen = await store.seen(refs);
    const wanted = new Map<ClientRef, ObservedClient>();
    for (const [index, client] of clients.entries()) {
      const [ref, mark] = [refs[index], seen[index] ?? null];
      if (ref === undefined || mark === null) continue;
      present.add(ref);
      const isNews = !looksAsSeen(client, mark) || isMarkedDrifted(mark);
      if (named === null ? isNews : named.has(ref)) wanted.set(ref, client);
    }
    for (const page of pagesOf(wanted)) await take(new Map(page));
    return [];
  };
  const list = await apis.clients.get(deployment)?.listClients(slug, keep);
  for (const [row, error] of list?.unreadable ?? []) {
    const client = makeReference(deployment, slug, row);
    present.add(client);
    if (named?.has(client) !== false) found.unread.push({ app, client, error });
  }
  await takeMissing(app, (ref) => present.has(ref), named, store, take);
  found.views.push(...views);
}

async function takeMissing(
  app: string,
  isListed: (ref: ClientRef) => boolean,
  named: ReadonlySet<ClientRef> | null,
  store: Store,
  take: (clients: ReadonlyMap<ClientRef, null>) => Promise<void>,
): Promise<void> {
  let last: ClientRef | null = null;
  do {
    const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
    last = page.at(-1) ?? null;
    const missing = page.filter((ref) => !isListed(ref) && named?.has(ref) !== false);
    const seen = await store.seen(missing);
    const news = missing.filter(
      (_, at) => named !== null || isMarkedActive(seen[at] ?? null) || isMarkedDrifted(seen[at] ?? null),
    );
    if (news.length > 0) await take(new Map(news.map((ref) => [ref, null])));
  } while (last !== null);
}
