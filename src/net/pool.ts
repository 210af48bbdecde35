/** Connections to one origin: straight or through a proxy, with which certificates, and for how long. */
import { isIP, type LookupFunction } from 'node:net';
import { createSecureContext, getCACertificates } from 'node:tls';
import { type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici';
import { isLoopback } from '../core/host.ts';
import { shortMessage } from '../core/reply.ts';

/** How connections leave this machine. */
export interface Proxy {
  /** Its URL, with user and password if it wants them. */
  readonly url: { reveal(): string };
  /** Hosts that are connected to straight, as in `NO_PROXY`. */
  readonly noProxy: string;
}

/** What a config says of the way to a server. */
export interface Route {
  /** Null: straight. Loopback addresses are this machine's own, so no proxy is asked for them. */
  readonly proxy: Proxy | null;
  /** Certificates (PEM) of authorities that are trusted beside those that Node trusts. */
  readonly authorities: readonly string[];
}

export interface PoolOptions extends Partial<Route> {
  /** Most connections at once. */
  readonly connections: number;
  /** For connecting, in ms. */
  readonly timeoutMs: number;
  /** Host (with its port, if it has one) of the URL that is asked for; absent: that of the origin. The server's certificate must be for it. */
  readonly host?: string;
  /** For how long, in ms, a connection takes new requests; {@link HELD_MS} when absent. */
  readonly heldMs?: number;
  /** Looks host names up; the system's when absent. */
  readonly lookup?: LookupFunction;
}

export interface HttpPool {
  request(options: Omit<Dispatcher.RequestOptions, 'origin'>): Promise<Dispatcher.ResponseData>;
  /** To be said with what went wrong before an answer came: the cause may be the proxy, which it names. Empty where there is none. */
  readonly via: string;
  /** Waits for requests under way. */
  close(): Promise<void>;
}

/** A busy connection would never end, and never notice that its host name leads to another address by now. */
const HELD_MS = 60_000;

/**
 * Keep-alive connections to one origin. The time-outs of undici are off but for connecting: every exchange has its own total deadline. HTTP/1.1
 * only, where aborting a request closes its connection, so that it cannot go on behind our back.
 */
export function openPool(origin: string, options: PoolOptions): HttpPool {
  const { connections, timeoutMs, proxy = null, heldMs = HELD_MS, host, lookup } = options;
  const common = {
    connections,
    connectTimeout: timeoutMs,
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    clientTtl: heldMs,
  };
  const { protocol, hostname } = new URL(origin);
  const isStraight = proxy === null || protocol === 'http:' || isLoopback(hostname);
  const tls = tlsOptions(options);
  const connect = lookup === undefined ? tls : { ...tls, lookup };
  const dispatcher = isStraight
    ? new Pool(origin, { ...common, connect })
    : new EnvHttpProxyAgent({ ...common, connect, ...tunnels(proxy, host ?? hostname, tls, timeoutMs) });
  return {
    request: (request) => dispatcher.request({ origin, ...request }),
    via: isStraight ? '' : describeProxy(proxy),
    close: () => dispatcher.close(),
  };
}

function describeProxy({ url, noProxy }: Proxy): string {
  const but = noProxy === '' ? '' : `, but not for ${shortMessage(noProxy)}`;
  return ` (the proxy is ${new URL(url.reveal()).origin}${but})`;
}

type Tls = ReturnType<typeof tlsOptions>;

/** The environment is read by the config alone: with empty texts undici does not look there itself. */
function tunnels({ url, noProxy }: Proxy, host: string, tls: Tls, timeoutMs: number) {
  return {
    httpProxy: '',
    httpsProxy: url.reveal(),
    noProxy,
    proxyTls: tls,
    // A tunnel takes its server name from here, or else from the origin, which `resolve` may have replaced.
    requestTls: { ...tls, servername: certifiedName(host) },
    // A proxy that takes a connection and never answers must not keep the pool from closing.
    clientFactory: (proxyOrigin: URL, given: object) =>
      new Pool(proxyOrigin, { ...given, headersTimeout: timeoutMs, bodyTimeout: timeoutMs, allowH2: false }),
  };
}

/** RFC 6066 section 3: an address is no server name. */
function certifiedName(host: string): string {
  const name = new URL(`https://${host}`).hostname.replace(/^\[|\]$/g, '');
  return isIP(name) === 0 ? name : '';
}

/** One context for all connections of a pool: reading a hundred and more certificates takes milliseconds. */
function tlsOptions({ authorities = [] }: Partial<Route>) {
  if (authorities.length === 0) return {};
  return { secureContext: createSecureContext({ ca: [...getCACertificates('default'), ...authorities] }) };
}
