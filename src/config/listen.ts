/** Where the worker of a config file listens, whatever else is wrong with that file: a worker that runs goes by an earlier version of it. */
import { LineCounter } from 'yaml';
import { members } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { parseAddress } from './fields.ts';
import { parseYaml } from './syntax.ts';
import { NAME_THE_CONFIG, readText } from './text.ts';

export const DEFAULT_LISTEN = '127.0.0.1:8080';

interface Listening {
  readonly host: string;
  readonly port: number;
  /** The one that says so. */
  readonly setting: string;
  readonly isTls: boolean;
}

/** Where the probes are: they need no certificate, so plain HTTP is taken where both are. @throws RekeydError `config` when the file cannot be read, or does not say it */
export async function listenAddressOf(file: string): Promise<Listening> {
  const read = await readText(file, NAME_THE_CONFIG);
  if ('problem' in read) throw new RekeydError('config', read.problem);
  const { document } = parseYaml(read.text, new LineCounter());
  const { listen = DEFAULT_LISTEN, public: open, tls } = members(members(document.toJS()).http);
  const wanted = open ?? listen;
  const address = typeof wanted === 'string' ? parseAddress(wanted) : null;
  const setting = open === undefined ? 'http.listen' : 'http.public';
  if (address === null) throw new RekeydError('config', `${file}: ${setting} is no address: write host:port`);
  return { ...address, setting, isTls: open === undefined && tls !== undefined };
}
