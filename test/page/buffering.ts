/** A proxy that keeps each answer until all of it has come, as some do: server-sent events never arrive through it. */
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

export interface BufferingProxy {
  readonly url: string;
  /** Paths of requests that it waits for the end of. */
  readonly waiting: ReadonlySet<string>;
}

/** Closed when the test ends. */
export async function startBufferingProxy(target: string): Promise<BufferingProxy> {
  const waiting = new Set<string>();
  const proxy = createServer((incoming, outgoing) => {
    const { method, headers, url: path = '/' } = incoming;
    const onward = request(new URL(path, target), { method, headers }, async (answer) => {
      waiting.add(path);
      const body = await buffer(answer).catch(() => null);
      waiting.delete(path);
      if (body === null) outgoing.destroy();
      else outgoing.writeHead(answer.statusCode ?? 502, answer.headers).end(body);
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  onTestFinished(async () => {
    proxy.closeAllConnections();
    proxy.close();
    await once(proxy, 'close');
  });
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}`, waiting };
}
