/** Where Redis is, and how that is told to a person. */
import { RekeydError } from '../../errors.ts';

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/** How to sign in to the servers that Sentinel or the cluster names; empty where nothing is asked. */
export interface Login {
  readonly username?: string;
  readonly password?: string;
}

/** A group of servers of which one, the primary, takes writes: a Sentinel service, or the part of a cluster that holds our keys. */
export type ServerGroup =
  | {
      readonly kind: 'sentinels';
      /** What the Sentinels call the primary they watch over. */
      readonly name: string;
      readonly nodes: readonly NodeAddress[];
      /** Of the Sentinels themselves. */
      readonly sentinelPassword?: string;
      readonly login: Login;
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly NodeAddress[]; readonly login: Login };

/** A URL (`redis://`, `rediss://` or `unix:///path`), a unix socket, or a group that says itself where its primary is. */
export type RedisTarget = { readonly url: string } | { readonly socketPath: string } | { readonly group: ServerGroup };

/**
 * Another password, or another certificate, for the same place. `target` itself changes: connections look there whenever they are made anew, and those that
 * exist stay.
 */
export function renewTarget(target: RedisTarget, next: RedisTarget): void {
  if ('group' in target && 'group' in next) Object.assign(target.group, next.group);
  else Object.assign(target, next);
}

/** @throws RekeydError `config` (not a Redis URL) */
export function parseUrl(url: string): URL {
  const parsed = URL.parse(url);
  const usable = parsed?.protocol === 'unix:' ? parsed.pathname.length > 1 : isServerUrl(parsed);
  // The value is not shown: it may hold a password.
  if (parsed === null || !usable) {
    throw new RekeydError(
      'config',
      'redis.url is not a Redis URL. Write redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path/of/the/socket.',
    );
  }
  return parsed;
}

function isServerUrl(url: URL | null): boolean {
  const tcp = url?.protocol === 'redis:' || url?.protocol === 'rediss:';
  return tcp && url.hostname !== '' && /^\/?\d*$/.test(url.pathname);
}

/** The address without user and password. */
export function describeTarget(target: RedisTarget): string {
  if ('socketPath' in target) return target.socketPath;
  if ('group' in target) return describeGroup(target.group);
  const { protocol, host, pathname } = parseUrl(target.url);
  return protocol === 'unix:' ? pathname : host;
}

function describeGroup(group: ServerGroup): string {
  const nodes = group.nodes.map(describeNode).join(', ');
  return group.kind === 'cluster' ? `the cluster of ${nodes}` : `${group.name} of the Sentinels ${nodes}`;
}

export function describeNode({ host, port }: NodeAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
