/** Checks of the sinks, and of the folders that rekeyd writes to. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../../config/model.ts';
import type { SinkConfig } from '../../config/sinks/model.ts';
import { openSink } from '../../deliver/open.ts';
import { messageOf } from '../../errors.ts';
import { closedTo } from '../../files/exposure.ts';
import { systemClock } from '../../time.ts';
import { exposuresOf } from '../exposure.ts';
import { advice, type Check, fine, wrong } from './check.ts';

export async function checkPlaces({ sinks, publish }: Config): Promise<readonly Check[]> {
  const checks = (await Promise.all(sinks.map(checkSink))).flat();
  if (publish !== null) checks.push(await checkPublish(publish.path));
  return checks;
}

async function checkSink(config: SinkConfig): Promise<readonly Check[]> {
  const sink = openSink(config, { store: null, now: systemClock.now });
  const [name, problem] = [`sink ${sink.name}`, await sink.check()];
  sink.close();
  if (config.kind !== 'directory') {
    return [
      problem === null ? fine(name, 'can be written') : wrong(name, problem, 'Rotations wait until that is mended.'),
    ];
  }
  const { path, access } = config;
  const fix = 'Make the folder writable for the user that rekeyd runs as, or set another path for this sink.';
  const checks = [problem === null ? fine(name, 'writable') : wrong(name, problem, fix)];
  return access.group === null ? checks : [...checks, ...(await checkGroup(sink.name, path, access.group))];
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
