/** A unix socket in front of Redis that can lose answers: the command is executed and the connection dropped before its answer is passed on. */
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';

type Kept = 'nothing' | 'half' | 'all';

export interface LossyProxy {
  /** Drops the connection of the next request that contains `text`; `kept` of what Redis answers first still gets through. */
  loseAnswerTo(text: string, kept: Kept): void;
  /** How often a connection was dropped. */
  readonly drops: number;
  close(): Promise<void>;
}

export async function startProxy(socketPath: string, upstreamPath: string): Promise<LossyProxy> {
  let trap: { readonly text: string; readonly kept: Kept } | null = null;
  let drops = 0;
  const sockets = new Set<Socket>();

  const server = createServer((client) => {
    const upstream = createConnection(upstreamPath);
    let sprung: Kept | null = null;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.end();
        upstream.destroy();
      });
    }
    client.on('data', (chunk) => {
      if (trap !== null && chunk.includes(trap.text)) {
        sprung = trap.kept;
        trap = null;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (sprung === null) {
        client.write(chunk);
        return;
      }
      drops += 1;
      client.end(chunk.subarray(0, { nothing: 0, half: chunk.length / 2, all: chunk.length }[sprung]));
      upstream.destroy();
    });
  });
  server.listen(socketPath);
  await once(server, 'listening');

  return {
    loseAnswerTo(text, kept) {
      trap = { text, kept };
    },
    get drops() {
      return drops;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
