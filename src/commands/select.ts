/** Which clients a command is about, as the command line says it. */
import { appPaths } from '../config/lookup.ts';
import type { Config } from '../config/model.ts';
import { type ClientRef, isSegment, parseReference, splitReference } from '../core/client.ts';
import { RekeydError } from '../errors.ts';
import type { Leak } from '../rotation/exposed.ts';

export interface SelectOptions {
  readonly app?: string;
  readonly policy?: string;
  readonly all?: boolean;
  /** True without a kid. */
  readonly compromised?: string | true;
  /** With `compromised`: the clients that have that key, that have keys under that KEK, or that have a signer that reported from that host. */
  readonly kid?: string;
  readonly kek?: string;
  readonly host?: string;
  /** With `compromised`: the standby key did not leak. */
  readonly keepStandby?: boolean;
}

/** As in the job `request`. */
export type Select =
  | { readonly clients: ClientRef[] }
  | { readonly app: string }
  | { readonly policy: string }
  | { readonly all: true }
  | Leak;

export interface Selection {
  /** Null: nothing was named. */
  readonly select: Select | null;
  readonly compromised: boolean | { readonly kid: string };
}

/** @throws RekeydError `usage`, `client_reference_invalid` */
export function selectionOf(named: readonly string[], options: SelectOptions, config: Config): Selection {
  const { value: kid, clients } = optionalValue(options.compromised, named, config);
  const selectors: Select[] = [];
  if (clients.length > 0) selectors.push({ clients: [...new Set(clients.map(parseReference))] });
  if (options.app !== undefined) selectors.push({ app: knownApp(options.app, config) });
  if (options.policy !== undefined) selectors.push({ policy: knownPolicy(options.policy, config) });
  if (options.all) selectors.push({ all: true });
  selectors.push(...leaks(options));
  const [select = null, ...others] = selectors;
  if (others.length > 0) {
    throw usage(
      'Clients, --app, --policy, --all, --kid, --kek and --host are ways to say which clients: give one of them.',
    );
  }
  const isCompromise = options.compromised !== undefined;
  if (kid === null) return { select, compromised: isCompromise };
  if (select === null) return { select: { kid }, compromised: true };
  if (namesOne(select)) return { select, compromised: { kid } };
  throw usage(
    '--compromised with a kid is about one client, or about all clients that have that key: name one client or none.',
  );
}

/** @throws RekeydError `usage` */
function leaks({ compromised, kid, kek, host, keepStandby }: SelectOptions): readonly Leak[] {
  const found = [kid !== undefined && { kid }, kek !== undefined && { kek }, host !== undefined && { host }].filter(
    (leak) => leak !== false,
  );
  const [name] = [...found.map((leak) => `--${Object.keys(leak)[0]}`), ...(keepStandby ? ['--keep-standby'] : [])];
  if (name !== undefined && compromised === undefined) {
    throw usage(`${name} goes with --compromised: it is about keys that leaked.`);
  }
  return found;
}

function namesOne(select: Select | null): boolean {
  return select !== null && 'clients' in select && select.clients.length === 1;
}

/**
 * The value of an option that may go without one. `--wait 1/app/2` reads as if the client were the value: a client reference of a deployment in
 * the config is taken for what it is.
 */
export function optionalValue(
  given: string | true | undefined,
  clients: readonly string[],
  config: Config,
): { readonly value: string | null; readonly clients: readonly string[] } {
  if (given === undefined || given === true) return { value: null, clients };
  return isClient(given, config) ? { value: null, clients: [given, ...clients] } : { value: given, clients };
}

function isClient(text: string, { deployments }: Config): boolean {
  const parts = text.split('/');
  if (parts.length !== 3 || !parts.every(isSegment)) return false;
  const { deployment } = splitReference(parseReference(text));
  return deployments.some(({ id }) => id === deployment);
}

/** @throws RekeydError `usage` */
export function knownApp(place: string, { deployments }: Config): string {
  const known = appPaths({ deployments });
  if (known.includes(place)) return place;
  throw usage(`The config has no app ${JSON.stringify(place)}. It has: ${known.join(', ')}.`);
}

function knownPolicy(name: string, { policies }: Config): string {
  if (Object.hasOwn(policies, name)) return name;
  throw usage(`The config has no policy ${JSON.stringify(name)}. It has: ${Object.keys(policies).join(', ')}.`);
}

export function usage(message: string): RekeydError {
  return new RekeydError('usage', message);
}
