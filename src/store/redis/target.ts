/** Where Redis is, and how that is told to a person. */
import { readRedisUrl } from '../../config/redis-url.ts';
import { RekeydError } from '../../errors.ts';

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/** How to sign in; empty where nothing is asked. */
export interface Login {
  readonly username?: string;
  readonly password?: string;
}

/** PEM texts. Without `ca`, the certificate authorities that Node.js knows; without `servername`, the host that is connected to. */
export interface Tls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

interface Group {
  readonly nodes: readonly NodeAddress[];
  /** To the servers that Sentinel or the cluster names. */
  readonly login: Login;
  /** For every connection, those to Sentinels too. Absent: plain TCP. */
  readonly tls?: Tls;
}

/** A group of servers of which one, the primary, takes writes: a Sentinel service, or the part of a cluster that holds our keys. */
export type ServerGroup =
  | (Group & {
      readonly kind: 'sentinels';
      /** What the Sentinels call the primary they watch over. */
      readonly name: string;
      /** Of the Sentinels themselves. */
      readonly sentinelPassword?: string;
    })
  | (Group & {
      readonly kind: 'cluster';
      /** A key of ours: the node with its slot is the primary that we need. */
      readonly key: string;
    });

/**
 * A URL (`redis://`, `rediss://` or `unix:///path`), a unix socket, or a group that says itself where its primary is. It is read anew for each connection
 * that is opened: a getter may answer another password than before. Once `ended` aborts, all connections end and none is made any more: what still waits
 * for an answer fails.
 */
export type RedisTarget = (
  | { readonly url: string; readonly login?: Login; readonly tls?: Tls }
  | { readonly socketPath: string }
  | { readonly group: ServerGroup }
) & { readonly ended?: AbortSignal };

/**
 * Another password, or another certificate, for the same place. `target` itself changes: connections look there whenever they are made anew, and those that
 * exist stay.
 */
export function renewTarget(target: RedisTarget, next: RedisTarget): void {
  // What `next` does not have any more, such as an authority of one's own, must not stay.
  if ('group' in target && 'group' in next) {
    Object.assign(target.group, { tls: undefined, sentinelPassword: undefined }, next.group);
  } else Object.assign(target, { login: undefined, tls: undefined }, next);
}

/** One server, and what is said to it first. `database` 0 is the one that a connection begins in. */
export interface Place {
  readonly at: NodeAddress | { readonly path: string };
  readonly login: Login;
  readonly database: number;
  /** Null: plain TCP, or a unix socket. */
  readonly tls: Tls | null;
}

/** @throws RekeydError `config` (not a Redis URL) */
export function placeOf(target: Exclude<RedisTarget, { group: ServerGroup }>): Place {
  if ('socketPath' in target) return { at: { path: target.socketPath }, login: {}, database: 0, tls: null };
  const address = parseUrl(target.url);
  const { database } = address;
  if ('path' in address) return { at: { path: address.path }, login: target.login ?? {}, database, tls: null };
  const { host, port, isTls, username, password } = address;
  const own = { ...(username !== null && { username }), ...(password !== null && { password }) };
  return { at: { host, port }, login: { ...target.login, ...own }, database, tls: isTls ? (target.tls ?? {}) : null };
}

/** The value is not shown: it may hold a password. */
function parseUrl(url: string) {
  const read = readRedisUrl(url);
  if ('address' in read) return read.address;
  throw new RekeydError('config', `redis.url cannot be used: ${read.problem}.`);
}

/** The address without user and password. */
export function describeTarget(target: RedisTarget): string {
  if ('group' in target) return describeGroup(target.group);
  const { at, database } = placeOf(target);
  const server = 'path' in at ? at.path : describeNode(at);
  return database === 0 ? server : `${server}, database ${database}`;
}

function describeGroup(group: ServerGroup): string {
  const nodes = group.nodes.map(describeNode).join(', ');
  return group.kind === 'cluster' ? `the cluster of ${nodes}` : `${group.name} of the Sentinels ${nodes}`;
}

export function describeNode({ host, port }: NodeAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
