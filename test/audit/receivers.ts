/** What entries are exported to, for tests: an HTTP server and a syslog server on loopback, and a stream. */
import { once } from 'node:events';
import { createServer as createHttp, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { createServer as createTls, type TlsOptions } from 'node:tls';
import { onTestFinished } from 'vitest';

export interface Posted {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Answers each POST with the next status of the list, and 204 when that is used up. */
export async function startCollector(): Promise<{ url: string; posts: Posted[]; statuses: number[] }> {
  const posts: Posted[] = [];
  const statuses: number[] = [];
  const server = createHttp((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      posts.push({ headers: request.headers, body });
      response.writeHead(statuses.shift() ?? 204).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/audit?x=1`, posts, statuses }; // it listens on a port
}

/** Takes frames apart by their octet counts, as RFC 5425 has them. */
export async function startSyslog(tls?: TlsOptions): Promise<{ port: number; messages: string[]; refuse: boolean }> {
  const state = { port: 0, messages: [] as string[], refuse: false };
  const take = (socket: Socket) => {
    socket.on('error', () => {});
    let unread = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      unread = Buffer.concat([unread, bytes]);
      for (let blank = unread.indexOf(32); blank > 0; blank = unread.indexOf(32)) {
        const end = blank + 1 + Number(unread.subarray(0, blank).toString());
        if (unread.length < end) return;
        state.messages.push(unread.subarray(blank + 1, end).toString());
        unread = unread.subarray(end);
      }
    });
  };
  const server: Server = tls === undefined ? createServer(take) : createTls(tls, take);
  server.on('connection', (socket) => state.refuse && socket.resetAndDestroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  state.port = (server.address() as AddressInfo).port; // it listens on a port
  return state;
}

export function openSink(): { stream: Writable; text(): string; fail(why: string | null): void } {
  let text = '';
  let problem: string | null = null;
  const stream = new Writable({
    write(chunk, _, done) {
      if (problem !== null) return done(new Error(problem));
      text += chunk;
      return done();
    },
    autoDestroy: false,
  });
  return {
    stream,
    text: () => text,
    fail: (why) => {
      problem = why;
    },
  };
}
