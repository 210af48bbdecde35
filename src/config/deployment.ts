/** `deployments`: where the Wacht API is, and the apps and clients there. */
import { z } from 'zod';
import * as field from './fields.ts';
import { choice, count, duration, list, name, section } from './fields.ts';
import type { AppConfig, DeploymentConfig } from './model.ts';
import { authorities, proxy } from './route.ts';
import type { Sources } from './secrets.ts';

const client = section(
  {
    id: name("The client's id in the API path."),
    policy: name("Instead of the app's policy.").optional(),
  },
  '{ id: "4711" } for the client 4711',
);

const AUTHORITIES = 'PEM certificates of authorities that are trusted beside the usual ones: file:PATH.';

function app(sources: Sources) {
  return section({
    slug: name('Slug of the OAuth app.'),
    issuer: field
      .url("Where the app's OAuth endpoints live and proofs go. Absent: https:// and the app's own fqdn.")
      .optional(),
    resolve: z
      .record(field.host(), field.url('Such as http://127.0.0.1:8443.', { only: 'origin' }), {
        error: 'is not a section: write "host": "http://127.0.0.1:8443" below it',
      })
      .describe('Host of an issuer, and the origin to connect to instead. Host header, audience and TLS name stay.')
      .prefault({}),
    ca: authorities(AUTHORITIES, sources).optional(),
    clients: z
      .union([z.literal('all'), z.array(client)], {
        error: 'is neither all nor a list: write all, or entries like - { id: "4711" }',
      })
      .describe('The clients of the app that rekeyd looks after.')
      .prefault('all'),
    policy: name('The policy of its clients.').prefault('default'),
  }).transform(
    ({ issuer, clients, ca = [], ...same }): Omit<AppConfig, 'route'> & { readonly ca: readonly string[] } => ({
      ...same,
      issuer: issuer ?? null,
      ca,
      clients: clients === 'all' ? clients : clients.map(({ id, policy: own }) => ({ id, policy: own ?? same.policy })),
    }),
  );
}

export function deployment(sources: Sources) {
  const rateLimit = section({
    max: count('Requests in the time of `per`.', 1, 1_000_000).prefault(10),
    per: duration('The time that `max` counts in.').prefault('1s'),
  });
  const backoff = section({
    base: duration('The first wait. It doubles with each failure.').prefault('1s'),
    max: duration('The longest wait.').prefault('5m'),
  });
  return section({
    id: name('Deployment id, in quotes: as a number it would lose digits.'),
    api_url: field.url('Base URL of the Wacht API.').prefault('https://api.wacht.dev'),
    url_style: choice(
      'deployment: paths start with /deployments/{id}, for access tokens; flat: the API key says which deployment; auto: found out.',
      ['auto', 'deployment', 'flat'],
    ).prefault('auto'),
    api_key: field.secret('Wacht API key: env:NAME or file:PATH.', sources, field.headerSecret),
    proxy: proxy(
      'How the API and the issuers are connected to. env: HTTPS_PROXY and NO_PROXY; none: straight; or the URL of a proxy.',
      sources,
    ).prefault('env'),
    ca: authorities(AUTHORITIES, sources).optional(),
    throttle_max: duration('When the server asks us to wait (429), we wait this long at most.').prefault('60s'),
    rate_limit: rateLimit.prefault({}).describe('How many API requests all workers together send to this deployment.'),
    timeout: duration('How long one API call may take, with its body.', { most: '1d' }).prefault('10s'),
    backoff: backoff.prefault({}).describe('Waits between retries, with full jitter.'),
    concurrency: count('How many rotation jobs one worker does at once.', 1, 1000).prefault(10),
    apps: list(app(sources), 'app').describe('The OAuth apps whose clients are rotated.'),
  }).transform(
    ({
      id,
      api_url,
      url_style,
      api_key,
      proxy,
      ca = [],
      throttle_max,
      rate_limit,
      timeout,
      backoff: wait,
      concurrency,
      apps,
    }): DeploymentConfig => ({
      id,
      apiUrl: api_url,
      urlStyle: url_style,
      apiKey: api_key,
      route: { proxy, authorities: ca },
      throttleMaxMs: throttle_max,
      rateLimit: { max: rate_limit.max, perMs: rate_limit.per },
      timeoutMs: timeout,
      backoff: { baseMs: wait.base, maxMs: wait.max },
      concurrency,
      apps: apps.map(({ ca: own, ...app }) => ({ ...app, route: { proxy, authorities: [...ca, ...own] } })),
    }),
  );
}
