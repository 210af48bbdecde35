/** Where the worker of a config file listens, whatever else is wrong with that file: a worker that runs goes by an earlier version of it. */
import { LineCounter } from 'yaml';
import { members } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { parseAddress } from './fields.ts';
import { parseYaml } from './syntax.ts';
import { NAME_THE_CONFIG, readText } from './text.ts';

export const DEFAULT_LISTEN = '127.0.0.1:8080';

/** @throws RekeydError `config` when the file cannot be read, or does not say it */
export async function listenAddressOf(file: string): Promise<{ readonly host: string; readonly port: number }> {
  const read = await readText(file, NAME_THE_CONFIG);
  if ('problem' in read) throw new RekeydError('config', read.problem);
  const { document } = parseYaml(read.text, new LineCounter());
  const listen = members(members(document.toJS()).http).listen ?? DEFAULT_LISTEN;
  const address = typeof listen === 'string' ? parseAddress(listen) : null;
  if (address === null) throw new RekeydError('config', `${file}: http.listen is no address: write host:port`);
  return address;
}
