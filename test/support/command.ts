/** `rekeyd` as a person runs it: a child process over the config of a fleet. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { ClientStatus } from '../../src/status/model.ts';
import type { Status } from '../../src/status/views.ts';
import { COMPILED } from './compiled.ts';
import type { Fleet, FleetClient } from './fleet.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. An exit code other than 0 is no error. */
export async function ran(fleet: Fleet, ...args: readonly string[]): Promise<Ended> {
  const config = join(fleet.dir, 'rekeyd.yaml');
  await writeFile(config, JSON.stringify(fleet.file));
  const child = spawn(process.execPath, [CLI, ...args, '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...COMPILED, ...fleet.env },
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

/** Runs a command. @returns what it prints on stdout. @throws when it does not exit with 0 */
export async function rekeyd(fleet: Fleet, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ran(fleet, ...args);
  if (code !== 0) throw new Error(`rekeyd ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}

export async function statusOf(fleet: Fleet): Promise<Status> {
  return JSON.parse(await rekeyd(fleet, 'status', '--json'));
}

export async function statusOfClient(fleet: Fleet, { ref }: FleetClient): Promise<ClientStatus> {
  const found = (await statusOf(fleet)).clients.find(({ client }) => client === ref);
  if (found === undefined) throw new Error(`the status does not show ${ref}`);
  return found;
}
