import { Pool } from 'undici';

export type HttpPool = Pool;

/**
 * Keep-alive connections to one origin. The time-outs of undici are off but for connecting: every exchange has its own total deadline. HTTP/1.1
 * only, where aborting a request closes its connection, so that it cannot go on behind our back.
 */
export function openPool(origin: string, options: { readonly connections: number; readonly timeoutMs: number }): Pool {
  return new Pool(origin, {
    connections: options.connections,
    connectTimeout: options.timeoutMs,
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
  });
}
