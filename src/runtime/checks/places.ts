/** Checks of the folders that rekeyd writes to. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../../config/model.ts';
import { directorySink } from '../../deliver/directory.ts';
import { messageOf } from '../../errors.ts';
import { closedTo } from '../../files/exposure.ts';
import { exposuresOf } from '../exposure.ts';
import { advice, type Check, fine, wrong } from './check.ts';

export async function checkPlaces({ sinks, publish }: Config): Promise<readonly Check[]> {
  const checks: Check[] = [];
  for (const { path, access, reports } of sinks) {
    const sink = directorySink(path, { access, reports, store: null });
    const problem = await sink.check();
    sink.close();
    const fix = 'Make the folder writable for the user that rekeyd runs as, or set another path for this sink.';
    checks.push(problem === null ? fine(`sink ${sink.name}`, 'writable') : wrong(`sink ${sink.name}`, problem, fix));
    if (access.group !== null) checks.push(...(await checkGroup(sink.name, path, access.group)));
  }
  if (publish !== null) checks.push(await checkPublish(publish.path));
  return checks;
}

async function checkGroup(name: string, path: string, group: number): Promise<readonly Check[]> {
  const closed = await closedTo(group, path);
  if (closed === null) return [];
  const detail = `members of group ${group} cannot come through ${closed} to their keys`;
  const fix =
    'Let them (chmod o+x), or set another path for this sink. Nothing is wrong where each application has its folder mounted.';
  return [advice(`group of sink ${name}`, detail, fix)];
}

/** Nothing stops working over it, so it is advice. */
export async function checkExposure(config: Config): Promise<readonly Check[]> {
  const exposures = await exposuresOf(config);
  return exposures.map(({ path, why, fix }) => advice('exposed', `${path}: ${why}`, fix));
}

async function checkPublish(path: string): Promise<Check> {
  try {
    await access(await firstThatExists(path), constants.W_OK | constants.X_OK);
    return fine('publish folder', `${path} is writable`);
  } catch (error) {
    const fix = 'Make it writable for the user that rekeyd runs as, or set another publish.path.';
    return wrong('publish folder', `${path} cannot be written: ${messageOf(error)}`, fix);
  }
}

/** The folder, or the one above it in which it would be made. */
async function firstThatExists(path: string): Promise<string> {
  const found = await stat(path).catch(() => null);
  if (found === null && dirname(path) !== path) return firstThatExists(dirname(path));
  if (found !== null && !found.isDirectory()) throw new Error(`${path} is not a folder`);
  return path;
}
