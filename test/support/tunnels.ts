/** What stands between rekeyd and a server: a proxy that is asked to CONNECT, and TLS in front of a server that speaks HTTP. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { onTestFinished } from 'vitest';
import type { Certified } from './certificates.ts';

export interface ConnectProxy {
  readonly url: string;
  /** `host:port` of each tunnel that was asked for, in order of arrival. */
  readonly asked: readonly string[];
}

export interface ConnectProxyOptions {
  /** By the name that is asked for: where it is, as URL. Others cannot be reached. */
  readonly hosts: Readonly<Record<string, string>>;
  /** `user:password` that it wants. */
  readonly login?: string;
}

/** A proxy as companies have them: HTTP CONNECT (RFC 9110 section 9.3.6). It alone knows the hosts. Stops when the test ends. */
export async function startConnectProxy({ hosts, login }: ConnectProxyOptions): Promise<ConnectProxy> {
  const asked: string[] = [];
  const wanted = login === undefined ? undefined : `Basic ${Buffer.from(login).toString('base64')}`;
  const server = createServer((_request, response) => void response.writeHead(400).end());
  const sockets = cutAtTheEnd(server);
  server.on('connect', (request, socket: Socket) => {
    socket.on('error', () => {});
    asked.push(request.url ?? '');
    const target = hosts[new URL(`http://${request.url}`).hostname];
    if (wanted !== undefined && request.headers['proxy-authorization'] !== wanted) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n');
    } else if (target === undefined) socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    else {
      const onward = join(socket, target, sockets);
      onward.once('connect', () => socket.write('HTTP/1.1 200 Connection established\r\n\r\n'));
    }
  });
  return { url: `http://127.0.0.1:${await portOf(server)}`, asked };
}

/** HTTPS in front of `target`, at any loopback port. Stops when the test ends. Answers its port. */
export async function startTls({ key, cert }: Certified, target: string): Promise<number> {
  const server = createTlsServer({ key, cert }, (socket) => void join(socket, target, sockets));
  const sockets = cutAtTheEnd(server);
  server.on('tlsClientError', () => {}); // a client that does not trust the certificate leaves
  return portOf(server);
}

/** A proxy that takes every connection, and says nothing. */
export async function startSilence(): Promise<string> {
  const server = createTcpServer();
  cutAtTheEnd(server);
  return `http://127.0.0.1:${await portOf(server)}`;
}

function join(socket: Socket, target: string, sockets: Set<Socket>): Socket {
  const { hostname, port } = new URL(target);
  const onward = connect(Number(port), hostname.replace(/^\[|\]$/g, ''));
  sockets.add(onward);
  onward.on('error', () => socket.destroy());
  socket.on('error', () => onward.destroy());
  onward.on('close', () => sockets.delete(onward));
  socket.pipe(onward).pipe(socket);
  return onward;
}

function cutAtTheEnd(server: Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return sockets;
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port; // listens on TCP
}
