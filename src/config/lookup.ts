/** Finds in a config which apps there are, and which policy a client falls under. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { AppConfig, Config, PolicyConfig } from './model.ts';

type Places = Pick<Config, 'deployments' | 'policies'>;

/** The policies of an app's clients, by name; none for an app that the config does not have. */
export function policiesOf(config: Places, deployment: string, slug: string): ReadonlyMap<string, PolicyConfig> {
  const app = appOf(config, deployment, slug);
  if (app === undefined) return new Map();
  const names = app.clients === 'all' ? [app.policy] : app.clients.map(({ policy }) => policy);
  return new Map(
    names.flatMap((name) => {
      const policy = config.policies[name];
      return policy === undefined ? [] : [[name, policy] as const];
    }),
  );
}

/** The policy that a client falls under, or null when the config does not take care of that client. */
export function policyFor(
  config: Places,
  ref: ClientRef,
): { readonly name: string; readonly policy: PolicyConfig } | null {
  const { deployment, app: slug, id } = splitReference(ref);
  const app = appOf(config, deployment, slug);
  if (app === undefined) return null;
  const name = app.clients === 'all' ? app.policy : app.clients.find((client) => client.id === id)?.policy;
  const policy = name === undefined ? undefined : config.policies[name];
  return name === undefined || policy === undefined ? null : { name, policy };
}

/** `deployment/slug` of every app. */
export function appPaths({ deployments }: Pick<Config, 'deployments'>): readonly string[] {
  return deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => `${id}/${slug}`));
}

function appOf({ deployments }: Places, deployment: string, slug: string): AppConfig | undefined {
  return deployments.find(({ id }) => id === deployment)?.apps.find((app) => app.slug === slug);
}
