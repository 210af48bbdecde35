/** The section `alerts`: a monitor elsewhere that is told again and again that all is well, for those who have no Prometheus. */
import { isLoopback } from '../core/host.ts';
import * as field from './fields.ts';
import { duration, section } from './fields.ts';
import { authorities, proxy } from './route.ts';
import { Secret } from './secret.ts';
import type { Sources } from './secrets.ts';
import type { AlertsConfig } from './telling.ts';

export function alerts(sources: Sources) {
  const heartbeat = section({
    url: field.secret('URL of the check, as healthchecks.io shows it: env:NAME or file:PATH.', sources, pushUrl),
    every: duration('How often each worker posts to it. The monitor raises an alarm when it hears nothing.', {
      most: '1d',
    }).prefault('1m'),
    proxy: proxy('How that URL is connected to: env, none, or the URL of a proxy.', sources).prefault('env'),
    ca: authorities('PEM certificates of authorities that are trusted beside the usual ones.', sources).optional(),
  }).transform(({ url, every, ca = [], ...input }) => ({
    url,
    everyMs: every,
    route: { proxy: input.proxy, authorities: ca },
  }));
  return section({
    heartbeat: heartbeat.describe('A monitor that each worker tells that all is well, or what is wrong.').optional(),
  }).transform((input): AlertsConfig => ({ heartbeat: input.heartbeat ?? null }));
}

/** A secret: a program that knows it can tell the monitor that all is well. */
function pushUrl(value: string): Secret | string {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol)) return 'does not lead to a URL: store https://… there';
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    return 'leads to an http:// URL of another machine, which anybody between can read: store https://… there';
  }
  return new Secret(url.href);
}
