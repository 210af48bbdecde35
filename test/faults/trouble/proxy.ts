/** A TCP hop in front of Redis that breaks as networks do, and that hears when a write is confirmed to be on disk. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface FaultyProxy {
  /** `redis://127.0.0.1:port` */
  readonly url: string;
  /** Ends every connection, and refuses new ones until `meanwhile` is done. */
  cut(meanwhile: () => Promise<unknown>): Promise<void>;
  /** Connections stay open and nothing passes, in either direction. */
  stall(ms: number): Promise<void>;
  /** Redis is told that nothing more will come; its answers still pass, until it closes. */
  halfClose(): void;
  /** The next command that names `what` is carried out, and its connection ends before the answer to it has passed. */
  loseAnswer(what: string): void;
  /** Everything takes `lag` ms longer, in order. */
  slow(ms: number, lag: number): Promise<void>;
  close(): Promise<void>;
}

/** The answer to `WAITAOF 1 0 …`: on this server's disk. Nothing else of ours is answered so. After a reconnect, more answers may follow it at once. */
const CONFIRMED = /\*2\r\n:1\r\n:\d+\r\n/;
const LONGEST_CONFIRMATION = 24;

/** How much of what a client says is searched at once: more than any command of ours has before the name in it. */
const LONGEST_SAID = 1 << 18;

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
}

/** @param onConfirmed told before the answer is passed on that all that was written so far is on disk */
export async function startProxy(upstreamPort: number, onConfirmed: () => void): Promise<FaultyProxy> {
  const pairs = new Set<Pair>();
  let lag = 0;
  let isCut = false;
  let stalled = Promise.resolve();
  const toLose = new Set<string>();

  /** @param look answers false when the chunk must not pass */
  function forward(from: Socket, to: Socket, look: (chunk: Buffer) => boolean): void {
    let passed = Promise.resolve();
    from.on('data', (chunk) => {
      if (!look(chunk)) return;
      const arrived = performance.now();
      // One after the other, also when the lag has become shorter meanwhile.
      passed = passed.then(async () => {
        await stalled;
        const rest = arrived + lag - performance.now();
        if (rest > 0) await delay(rest);
        if (to.writable) to.write(chunk);
      });
    });
    from.on('end', () => void passed.then(() => to.end()));
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const upstream = createConnection({ port: upstreamPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const pair = { client, upstream };
    pairs.add(pair);
    for (const socket of [client, upstream]) {
      socket.on('error', () => {});
      socket.on('close', () => {
        pairs.delete(pair);
        client.destroy();
        upstream.destroy();
      });
    }
    let tail = '';
    let said = '';
    let isLost = false;
    forward(client, upstream, (chunk) => {
      if (toLose.size === 0) {
        said = '';
        return true;
      }
      said = (said + chunk.toString('latin1')).slice(-LONGEST_SAID);
      for (const what of toLose) {
        if (!said.includes(what)) continue;
        toLose.delete(what);
        isLost = true;
      }
      return true;
    });
    forward(upstream, client, (chunk) => {
      const answers = tail + chunk.toString('latin1');
      const isConfirmed = CONFIRMED.test(answers);
      if (isConfirmed) onConfirmed();
      tail = isConfirmed ? '' : answers.slice(-LONGEST_CONFIRMATION);
      if (isLost) client.destroy();
      return !isLost;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one

  const destroyAll = () => {
    for (const { client, upstream } of pairs) {
      client.destroy();
      upstream.destroy();
    }
  };

  return {
    url: `redis://127.0.0.1:${port}`,
    async cut(meanwhile) {
      isCut = true;
      destroyAll();
      await meanwhile();
      isCut = false;
    },
    async stall(ms) {
      const over = delay(ms);
      stalled = over;
      await over;
    },
    halfClose() {
      for (const { upstream } of pairs) upstream.end();
    },
    loseAnswer: (what) => void toLose.add(what),
    async slow(ms, by) {
      lag = by;
      await delay(ms);
      lag = 0;
    },
    async close() {
      isCut = true;
      server.close();
      destroyAll();
      await once(server, 'close');
    },
  };
}
