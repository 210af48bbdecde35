/** Which clients a request is about. */
import { policyFor } from '../src/config/lookup.ts';
import type { ClientRef } from '../src/core/client.ts';
import { messageOf, RekeydError } from '../src/errors.ts';
import { PAGE } from '../src/parallel.ts';
import { noteFailedRead } from '../src/rotation/deployment.ts';
import type { Resources } from '../src/rotation/resources.ts';
import type { JobContext } from './context.ts';
import { type Listed, readListing } from './listing.ts';
import type { Request } from './schemas.ts';

type Select = Request['select'];

export type Apps = readonly { readonly deployment: string; readonly app: string }[];

export function isNamed(select: Select): select is Extract<Select, { clients: unknown }> {
  return 'clients' in select;
}

/** The apps of the config that a request is about. @throws RekeydError `not_configured` when the config does not have what it names */
export function selectedApps(
  select: Select,
  { resources: { config } }: { readonly resources: Pick<Resources, 'config'> },
): Apps {
  if ('policy' in select && !Object.hasOwn(config.policies, select.policy)) {
    throw new RekeydError(
      'not_configured',
      `The config has no policy ${select.policy}. It has: ${Object.keys(config.policies).join(', ')}.`,
    );
  }
  const apps = config.deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => ({ deployment: id, app: slug })));
  if (!('app' in select)) return apps;
  const named = apps.filter(({ deployment, app }) => `${deployment}/${app}` === select.app);
  if (named.length > 0) return named;
  throw new RekeydError(
    'not_configured',
    `The config has no app ${select.app}. Write deployment/app-slug as they stand in the config.`,
  );
}

/** The clients that are named, or those that the store knows of these apps. */
export async function knownRefs(
  select: Select,
  apps: Apps,
  { resources }: { readonly resources: Pick<Resources, 'config' | 'store'> },
): Promise<readonly ClientRef[]> {
  if (isNamed(select)) return [...new Set(select.clients)];
  const refs: ClientRef[] = [];
  for (const { deployment, app } of apps) {
    let last: ClientRef | null = null;
    do {
      const page: readonly ClientRef[] = await resources.store.appRefs(`${deployment}/${app}`, PAGE, last);
      last = page.at(-1) ?? null;
      refs.push(...page);
    } while (last !== null);
  }
  return refs.filter((ref) => {
    const policy = policyFor(resources.config, ref)?.name;
    return policy !== undefined && (!('policy' in select) || select.policy === policy);
  });
}

export interface Read {
  readonly listed: ReadonlyMap<ClientRef, Listed>;
  /** By `deployment/slug`: why the list of an app could not be read. The others need not wait for it. */
  readonly unread: ReadonlyMap<string, unknown>;
}

/** Each list is read once. An API that does not answer is asked once, and keeps no other deployment waiting. */
export async function readApps(
  apps: Apps,
  context: JobContext,
  { urgent }: { readonly urgent: boolean },
): Promise<Read> {
  const listed = new Map<ClientRef, Listed>();
  const unread = new Map<string, unknown>();
  await Promise.all(
    byDeployment(apps).map(async ([deployment, slugs]) => {
      let failure: unknown = null;
      for (const slug of slugs) {
        const place = `${deployment}/${slug}`;
        try {
          if (failure !== null) throw failure;
          const { clients } = await readListing(context, deployment, slug, { urgent });
          for (const [ref, found] of clients) listed.set(ref, found);
        } catch (error) {
          if (failure === null) await noteUnread(deployment, error, context);
          failure ??= error;
          unread.set(place, error);
        }
      }
    }),
  );
  return { listed, unread };
}

export function byDeployment(apps: Apps): readonly (readonly [deployment: string, slugs: readonly string[]])[] {
  const slugs = new Map<string, string[]>();
  for (const { deployment, app } of apps) slugs.set(deployment, [...(slugs.get(deployment) ?? []), app]);
  return [...slugs];
}

/** What the failure means for the deployment, and for a person. */
export async function noteUnread(deployment: string, error: unknown, { resources, log }: JobContext): Promise<void> {
  const found = resources.deployments.get(deployment);
  if (found !== undefined) await noteFailedRead(resources, found, error);
  log.warn({ deployment, error: messageOf(error) }, 'the API cannot be read: its clients are left alone this time');
}
