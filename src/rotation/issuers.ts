/** Where the clients of an app sign in: the config says so, or the API does. A domain that changed is not believed until a person says so. */
import type { AppConfig } from '../config/model.ts';
import { RekeydError } from '../errors.ts';
import type { Deployments } from '../store/deployments.ts';
import { monotonic } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import type { ObservedApp } from '../wacht/observed.ts';

export interface Issuers {
  /** @throws ApiError, RekeydError `not_found`, `issuer_changed` */
  of(app: string): Promise<string>;
  /** After a refused sign-in: asks the API for the domain again, unless it was just asked. @throws RekeydError `not_found`, `issuer_changed` */
  confirm(app: string): Promise<void>;
}

/** The API is asked again after this time, in ms; after a refused sign-in, the second time counts. */
const OLD_MS = 60 * 60_000;
const DOUBTED_MS = 60_000;

/** @param listApps throws ApiError */
export function openIssuers(
  { id, apps }: { readonly id: string; readonly apps: readonly Pick<AppConfig, 'slug' | 'issuer'>[] },
  listApps: () => Promise<readonly ObservedApp[]>,
  store: Pick<Deployments, 'firstDomain'>,
): Issuers {
  const named = new Map(apps.flatMap(({ slug, issuer }) => (issuer === null ? [] : [[slug, issuer] as const])));
  const learned = new Map<string, { readonly domain: string; readonly at: number }>();

  async function learn(app: string, olderThanMs: number): Promise<string> {
    const held = learned.get(app);
    if (held !== undefined && monotonic() - held.at < olderThanMs) return believed(app, held.domain);
    const at = monotonic();
    try {
      for (const { slug, fqdn } of await listApps()) if (fqdn !== null) learned.set(slug, { domain: fqdn, at });
    } catch (error) {
      // Nothing says that the domain is another one.
      if (held === undefined || !(error instanceof ApiError)) throw error;
      return believed(app, held.domain);
    }
    const found = learned.get(app);
    if (found !== undefined && found.at >= at) return believed(app, found.domain);
    throw new RekeydError(
      'not_found',
      `The API knows no domain for app ${id}/${app}, so keys cannot be proven there. Set its issuer in the config.`,
    );
  }

  async function believed(app: string, domain: string): Promise<string> {
    const first = await store.firstDomain(id, app, domain);
    if (first === domain) return `https://${domain}`;
    throw new RekeydError(
      'issuer_changed',
      `The API says that the domain of app ${id}/${app} is ${domain}; before, it was ${first}. No key is proven there until somebody sets the right one as the app's issuer in the config.`,
    );
  }

  return {
    of: async (app) => named.get(app) ?? learn(app, OLD_MS),
    async confirm(app) {
      if (named.has(app)) return;
      if (learned.has(app)) await learn(app, DOUBTED_MS);
    },
  };
}
