/** What runs in a thread of {@link ./bare-folder.ts}. */
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { Task } from './bare-folder.ts';

parentPort?.on('message', (task: Task) => {
  replace(task);
  parentPort?.postMessage(null);
});

/** The client's path is a link to a version in the hidden folder beside it, as the sink has it. */
function replace({ folder, client, version, before, set }: Task): void {
  const versions = `${folder}/.${client}`;
  const fresh = `${versions}/${version}`;
  const old = before === null ? null : `${versions}/${before.version}`;
  if (before === null) mkdirSync(versions, 0o700);
  mkdirSync(fresh, 0o700);
  symlinkSync(`.${client}/${version}`, `${fresh}/pending`);
  for (const [name, same] of Object.entries(set.linked)) linkSync(`${old}/${same}`, `${fresh}/${name}`);
  for (const [name, text] of Object.entries(set.written)) writeFile(`${fresh}/${name}`, text);
  sync(fresh);
  sync(versions);
  renameSync(`${fresh}/pending`, `${folder}/${client}`);
  sync(folder);
  if (before === null) return;
  for (const name of before.names) unlinkSync(`${old}/${name}`);
  rmdirSync(`${old}`);
}

function writeFile(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
}

function sync(path: string): void {
  const folder = openSync(path, 'r');
  fsyncSync(folder);
  closeSync(folder);
}
