/** What the HTTP API goes by: that of the config in force, also after a reload. */
import { putOffRequests } from '../../jobs/waiting.ts';
import type { Config } from '../config/model.ts';
import type { Credentials } from '../http/auth.ts';
import type { ApiOptions } from '../http/server.ts';
import { openTokenBook, type TokenBook } from '../http/tokens.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { keksOf } from '../rotation/policy.ts';
import type { Census } from '../status/census/census.ts';
import { openViews } from '../status/open-views.ts';
import type { Crew } from './crew.ts';

/** @param census shared with `/metrics` */
export function openApi(crew: () => Crew, census: Pick<Census, 'look'>, metrics: Metrics): ApiOptions {
  let opened: { readonly encryption: Config['encryption']; readonly tokens: TokenBook } | null = null;

  /** One for as long as the KEKs stay: it remembers the list for a moment. */
  function tokens(): TokenBook {
    const { config, resources } = crew();
    const { encryption, dataDir } = config;
    if (opened?.encryption === encryption) return opened.tokens;
    opened = { encryption, tokens: openTokenBook({ store: resources.store, keks: keksOf(config), dataDir }) };
    return opened.tokens;
  }

  return {
    parts: () => ({ resources: crew().resources, queues: crew().queues }),
    credentials: (): Credentials => ({ tokens: tokens(), certificates: crew().config.http.certificates }),
    metrics,
    views: openViews(() => {
      const { resources, queues } = crew();
      return { resources, requests: () => putOffRequests(queues) };
    }, census),
    rate: () => crew().config.http.rate,
  };
}
