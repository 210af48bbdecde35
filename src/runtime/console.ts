/** What packages print by themselves goes through our log: BullMQ and ioredis warn on the console, Node.js with `warning` events. */
import { format } from 'node:util';
import type { Log } from '../rotation/resources.ts';
import { onWarnings } from './lifecycle.ts';

/** Returns a function that gives the console back. */
export function divertConsole(log: Pick<Log, 'warn'>): () => void {
  const { warn, error } = console;
  const tell = (...words: unknown[]) =>
    log.warn({ said: firstLine(format(...words)) }, 'a package has something to say');
  console.warn = tell;
  console.error = tell;
  const release = onWarnings((warning) => tell(`${warning.name}: ${warning.message}`));
  return () => {
    Object.assign(console, { warn, error });
    release();
  };
}

/** Stack traces are of no use to an operator. */
function firstLine(text: string): string {
  return text.split('\n')[0] ?? '';
}
