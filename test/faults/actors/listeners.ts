/** Listeners of a rotation's events. They are cut off, and go on elsewhere with the number of the last event that they heard, until they are told that it is all. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Chance } from '../random.ts';
import type { Testbed } from '../stage/testbed.ts';
import { PATIENCE_MS, POLL_MS } from './asking.ts';
import type { Bearer } from './callers.ts';

/** Longer than nothing comes on a stream, in ms: a worker that stands still looks like this. */
const SILENCE_MS = 5_000;

interface Listening {
  readonly history: Testbed['history'];
  readonly ports: readonly number[];
  readonly chance: Chance;
  readonly bearer: Bearer;
  /** Of its own. */
  readonly name: string;
  readonly rotation: string;
  /** It hangs up after so many events. */
  readonly cutAfter: number;
}

/** False when it was not told in time that nothing more comes. */
export async function listen(listening: Listening): Promise<boolean> {
  const { history, ports, chance, name, rotation } = listening;
  let last: string | null = null;
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(POLL_MS)) {
    const hangUp = new AbortController();
    try {
      const response = await connect(chance.pick(ports), listening, last, hangUp.signal);
      if (response.status === 204) {
        history.note({ kind: 'told_all', listener: name, rotation });
        return true;
      }
      if (response.status !== 200) continue;
      for await (const seq of eventsIn(response, listening, hangUp)) last = seq;
    } catch {
      // Cut off, by itself or by what befell the worker.
    } finally {
      hangUp.abort();
    }
  }
  return false;
}

function connect(port: number, { bearer, rotation }: Listening, last: string | null, signal: AbortSignal) {
  const headers = { authorization: `Bearer ${bearer.value}`, ...(last !== null && { 'last-event-id': last }) };
  return fetch(`http://127.0.0.1:${port}/v1/rotations/${rotation}/events`, { headers, signal });
}

/** The number of each event, once it is written down. */
async function* eventsIn(
  { body }: Response,
  { history, name, rotation, cutAfter }: Listening,
  hangUp: AbortController,
): AsyncGenerator<string> {
  if (body === null) return;
  let heard = 0;
  let rest = '';
  let silence = setTimeout(() => hangUp.abort(), SILENCE_MS);
  try {
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(silence);
      silence = setTimeout(() => hangUp.abort(), SILENCE_MS);
      const parts = (rest + chunk).split('\n\n');
      rest = parts.pop() ?? '';
      for (const part of parts) {
        const [, seq] = /^id: (\d+)$/m.exec(part) ?? [];
        if (seq === undefined) continue;
        const type = /^event: (.*)$/m.exec(part)?.[1] ?? '';
        history.note({ kind: 'told', listener: name, rotation, seq: Number(seq), type });
        heard += 1;
        yield seq;
        if (heard === cutAfter) return;
      }
    }
  } finally {
    clearTimeout(silence);
  }
}
