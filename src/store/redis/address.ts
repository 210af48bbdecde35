/** What ioredis is told of where Redis is. */
import { primaryConnector } from './primary.ts';
import { parseUrl, type RedisTarget } from './target.ts';

/** @throws RekeydError `config` (not a Redis URL) */
export function addressOptions(target: RedisTarget) {
  if ('socketPath' in target) return { path: target.socketPath };
  if ('url' in target) return urlOptions(target.url);
  return { ...target.group.login, Connector: primaryConnector(target.group) };
}

function urlOptions(text: string) {
  const url = parseUrl(text);
  if (url.protocol === 'unix:') return { path: decodeURIComponent(url.pathname) };
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
    ...(url.pathname.length > 1 && { db: Number(url.pathname.slice(1)) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  };
}
