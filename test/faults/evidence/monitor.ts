/** Redis' MONITOR, parsed: every command that the server executes, those of scripts included, in order. */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** @param time ms since the epoch, with fractions; `source` is `lua` for what a script does */
export type OnCommand = (time: number, args: readonly string[], source: string) => void;

const LINE = /^\+(\d+\.\d+) \[\d+ (.*?)\] (.*)$/;
const ARGUMENT = /"((?:[^"\\]|\\.)*)"/g;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' };

/** Resolves once nothing will be missed any more. It ends with its server. */
export async function monitor(socketPath: string, onCommand: OnCommand): Promise<Socket> {
  const socket = createConnection(socketPath);
  socket.on('error', () => {});
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
  lines.on('error', () => {});
  const ready = once(lines, 'line');
  socket.write('MONITOR\r\n');
  await ready;
  lines.on('line', (line) => {
    const [, time, source, rest] = LINE.exec(line) ?? [];
    if (time === undefined || source === undefined || rest === undefined) return;
    onCommand(
      Number(time) * 1000,
      [...rest.matchAll(ARGUMENT)].map(([, text = '']) => unescaped(text)),
      source,
    );
  });
  return socket;
}

/** What is not ASCII comes byte by byte. */
function unescaped(text: string): string {
  const bytes = text.replace(/\\(x[0-9a-f]{2}|.)/g, (_whole, code: string) => {
    if (code.length === 3) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return ESCAPES[code] ?? code;
  });
  return Buffer.from(bytes, 'latin1').toString();
}
