/** Where the worker of a config file listens, whatever else is wrong with that file: a worker that runs goes by an earlier version of it. */
import { LineCounter } from 'yaml';
import { members } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { LISTEN } from './defaults.ts';
import { parseAddress } from './fields.ts';
import { parseYaml, valuesOf } from './syntax.ts';
import { NAME_THE_CONFIG, readText } from './text.ts';

interface Listening {
  readonly host: string;
  readonly port: number;
  /** Which setting says so. */
  readonly setting: string;
  readonly isTls: boolean;
}

/**
 * Where the probes are. They need no certificate: where there is a public address, which is plain HTTP, that one is taken.
 * @throws RekeydError `config` when the file cannot be read, or the address in it is none
 */
export async function listenAddressOf(file: string): Promise<Listening> {
  const read = await readText(file, NAME_THE_CONFIG);
  if ('problem' in read) throw new RekeydError('config', read.problem);
  const found = valuesOf(parseYaml(read.text, new LineCounter()).document);
  if ('problem' in found) throw new RekeydError('config', `${file}: ${found.problem}`);
  const { listen = LISTEN, public: open, tls } = members(members(found.values).http);
  const wanted = open ?? listen;
  const address = typeof wanted === 'string' ? parseAddress(wanted) : null;
  const setting = open === undefined ? 'http.listen' : 'http.public';
  if (address === null) throw new RekeydError('config', `${file}: ${setting} is no address: write host:port`);
  return { ...address, setting, isTls: open === undefined && tls !== undefined };
}
