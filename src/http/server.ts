/** The HTTP side of a worker: the API for those who may use it, and what everybody may see, on one listener or on two. */
import type { FastifyInstance } from 'fastify';
import type { HttpConfig, HttpTlsConfig } from '../config/model.ts';
import { openScannerKeys } from '../leaks/scanner-keys.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { keksOf } from '../rotation/policy.ts';
import type { Log } from '../rotation/resources.ts';
import type { Views } from '../status/views.ts';
import type { Credentials } from './auth.ts';
import { openEvents } from './events.ts';
import {
  closeListener,
  LIMITS,
  type Limits,
  type ListenerOptions,
  listenOn,
  openListener,
  renewTls,
} from './listener.ts';
import { specRoute } from './openapi.ts';
import { sendProblemPage } from './page/errors.ts';
import { openLive } from './page/live.ts';
import { PAGES } from './page/pages.ts';
import { registerPages } from './page/register.ts';
import type { PageContext } from './page/routes.ts';
import { openSessionBook, type SessionBook } from './page/session/session.ts';
import { sendProblem } from './problem.ts';
import { openLimiter, type Rate } from './rate.ts';
import { openRefusals } from './refusals.ts';
import { type Registering, register } from './register.ts';
import type { ApiContext, Route } from './route.ts';
import { auditRoutes } from './routes/audit.ts';
import { clientRoutes } from './routes/clients.ts';
import { eventRoutes } from './routes/events.ts';
import { jwksRoutes } from './routes/jwks.ts';
import { leakRoutes, scannerRoutes } from './routes/leaks.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { requestRoutes } from './routes/requests.ts';
import { rotationRoutes } from './routes/rotations.ts';

export interface HttpOptions {
  readonly config: Pick<HttpConfig, 'listen' | 'publicListen' | 'tls'>;
  /** Null when rotations can be worked on, else what stands in the way. Never a secret. */
  ready(): Promise<string | null>;
  /** Absent: only the probes are served. */
  readonly api?: ApiOptions;
  readonly log: Log;
  readonly limits?: Partial<Limits>;
}

/** Of the config in force. */
export interface ApiOptions {
  readonly parts: () => Pick<ApiContext, 'resources' | 'queues'>;
  readonly credentials: () => Credentials;
  readonly rate: () => Rate;
  readonly metrics: Pick<Metrics, 'text' | 'callRefused'>;
  /** What the page shows. */
  readonly views: Views;
}

export interface HttpServer {
  /** Of the API. */
  readonly url: string;
  /** Of what is public: the same where it has no listener of its own. */
  readonly publicUrl: string;
  /** Serves with these certificates from now on: see {@link renewTls}. */
  renew(tls: HttpTlsConfig): void;
  close(): Promise<void>;
}

/** On the listener of the API. */
const API_ROUTES: readonly Route[] = [
  ...rotationRoutes,
  ...requestRoutes,
  ...eventRoutes,
  ...clientRoutes,
  ...auditRoutes,
  ...leakRoutes,
  ...metricsRoutes,
];

/** On the public listener. Where the config has none, on that of the API. */
const PUBLIC_ROUTES: readonly Route[] = [...jwksRoutes];

/** On a public listener of its own, too. Metrics take a token there as well, and `/v1/leaks` takes only reports that are signed. */
const ALSO_PUBLIC_ROUTES: readonly Route[] = [...metricsRoutes, ...scannerRoutes];

/** Every route that `openapi.json` describes. */
export const ROUTES: readonly Route[] = [...API_ROUTES, ...PUBLIC_ROUTES];

/** @throws RekeydError `config` when an address is taken or not one of this machine */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { config, api, log } = options;
  const limits = { ...LIMITS, ...options.limits };
  const sessions = api === undefined ? null : openSessions(api, log);
  const problemPage: ListenerOptions['problemPage'] =
    sessions === null ? undefined : (request, reply, problem) => sendProblemPage(request, reply, problem, sessions);
  const inner = openListener({ tls: config.tls, limits, log, ...(problemPage && { problemPage }) });
  const outer = config.publicListen === null ? inner : openListener({ tls: null, limits, log });
  const listeners = new Set([inner, outer]);
  for (const app of listeners) serveProbes(app, options);
  const served = api === undefined || sessions === null ? null : serveApi({ inner, outer }, api, sessions, log);
  const close = async () => {
    await Promise.all([served?.events.close(), served?.live.close()]);
    await Promise.all([...listeners].map(closeListener));
  };
  try {
    const url = await listenOn(inner, config.listen, 'http.listen');
    const isOne = config.publicListen === null;
    const publicUrl = isOne ? url : await listenOn(outer, config.publicListen, 'http.public');
    let { tls } = config;
    const renew = (next: HttpTlsConfig) => {
      if (tls !== null) renewTls(inner, tls, next);
      tls = next;
    };
    return { url, publicUrl, renew, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function serveProbes(app: FastifyInstance, { ready }: HttpOptions): void {
  app.get('/livez', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const obstacle = await ready();
    return obstacle === null ? { status: 'ok' } : sendProblem(reply, { status: 503, detail: obstacle });
  });
}

interface Listeners {
  readonly inner: FastifyInstance;
  readonly outer: FastifyInstance;
}

function openSessions({ parts, credentials }: ApiOptions, log: Log): SessionBook {
  return openSessionBook(() => {
    const { resources } = parts();
    return { store: resources.store, keks: keksOf(resources.config), tokens: credentials().tokens, log };
  });
}

function serveApi(
  { inner, outer }: Listeners,
  { parts, credentials, rate, metrics, views }: ApiOptions,
  sessions: SessionBook,
  log: Log,
) {
  const { store } = parts().resources;
  const events = openEvents(store, log);
  const refused = openRefusals({ log, append: (drafts) => store.append(drafts), count: metrics.callRefused });
  const context: ApiContext = {
    get resources() {
      return parts().resources;
    },
    get queues() {
      return parts().queues;
    },
    events,
    scanners: openScannerKeys(),
    metrics,
  };
  const registering: Registering = { context, credentials, limit: openLimiter(rate), refused };
  register(inner, [...API_ROUTES, specRoute(ROUTES)], registering);
  const deployments = () => parts().resources.config.deployments.map(({ id }) => id);
  const live = openLive({ store, deployments, log });
  const page: PageContext = {
    // Read anew for each page.
    get resources() {
      return context.resources;
    },
    get queues() {
      return context.queues;
    },
    get tokens() {
      return credentials().tokens;
    },
    ...{ events, scanners: context.scanners, metrics, views, sessions, live },
  };
  registerPages(inner, PAGES, { context: page, rate, refused, log });
  register(outer, outer === inner ? PUBLIC_ROUTES : [...PUBLIC_ROUTES, ...ALSO_PUBLIC_ROUTES], registering);
  return { events, live };
}
