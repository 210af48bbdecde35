/** A service over a config file that a test changes while it runs. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Service, ServiceOptions } from '../../src/runtime/service.ts';
import type { Fleet } from './fleet.ts';

type Settings = Readonly<Record<string, unknown>>;

export interface LiveService extends Service {
  /** Writes the config file with these settings on top of those that it began with, and has it read again. */
  reloadWith(top: Settings): ReturnType<Service['reload']>;
  /** What is in the way of being ready; null when nothing is. */
  obstacle(): Promise<string | null>;
}

export const CAUSE = { actor: 'cli:jane', reason: 'a test' };

/** @param top settings on top of the fleet's */
export async function startLive(
  fleet: Fleet,
  top: Settings = {},
  options: Partial<ServiceOptions> = {},
): Promise<LiveService> {
  const file: Settings = { ...fleet.file, http: { listen: '127.0.0.1:0' }, ...top };
  const text = JSON.stringify(file);
  const path = join(fleet.dir, 'rekeyd.yaml');
  await writeFile(path, text);
  const source = { text, env: fleet.env };
  const service = await fleet.start({ http: true, source, ...options }, await fleet.configOf(file));
  return Object.assign(Object.create(service) as Service, {
    async reloadWith(changes: Settings) {
      await writeFile(path, JSON.stringify({ ...file, ...changes }));
      return service.reload(CAUSE);
    },
    async obstacle() {
      const answer = await fetch(`${service.url}/readyz`);
      const { detail = null } = (await answer.json()) as { detail?: string };
      return answer.ok ? null : detail;
    },
  });
}

/** Messages of that level or above it, as the services logged them. */
export function told(fleet: Fleet, level: 'info' | 'warn' | 'error'): { msg: string; [member: string]: unknown }[] {
  const levels = ['debug', 'info', 'warn', 'error'];
  const lines = fleet.lines.map((line) => JSON.parse(line));
  return lines.filter((line) => levels.indexOf(line.level) >= levels.indexOf(level));
}
