import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';

test.each(['SIGTERM', 'SIGINT'] as const)(
  'npm run emulator prints what to try, and %s ends it with 0',
  async (signal) => {
    const child = spawn(process.execPath, [new URL('main.ts', import.meta.url).pathname, '--port', '0']);
    const ended = once(child, 'exit');
    try {
      const lines: string[] = [];
      for await (const line of createInterface(child.stdout)) {
        lines.push(line);
        if (line.startsWith('Stop it')) break;
      }
      const url = /listens on (\S+)/.exec(lines[0] ?? '')?.[1];
      const key = /API key +(\S+)/.exec(lines.join('\n'))?.[1];
      const response = await fetch(`${url}/oauth/apps`, { headers: { authorization: `Bearer ${key}` } });
      expect(await response.json()).toMatchObject({ apps: [{ slug: 'mcp-auth' }, { slug: 'mcp-rfc' }] });
      child.kill(signal);
      expect(await ended).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  },
);
