/** What must hold between sinks, and between sinks and policies. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { KUBERNETES_URL, SINK_PREFIX, VAULT_MOUNT } from '../defaults.ts';
import type { Config } from '../model.ts';
import type { Finding } from '../problems.ts';
import { REPORTING } from './model.ts';

const word = z.string().optional().catch(undefined);

/** As much of a sink as says where it is. */
export const sinkOutline = z.looseObject({
  kind: word,
  path: word,
  url: word,
  mount: word,
  prefix: word,
  namespace: word,
});

type SinkOutline = z.infer<typeof sinkOutline>;

interface Outline {
  readonly sinks: readonly SinkOutline[];
  readonly policies: Readonly<Record<string, object>>;
}

/**
 * Each of them would replace what the other has delivered, and raise the other's epoch.
 * @param folder absolute; relative paths start here
 */
export function differentSinks({ sinks }: Outline, folder: string): Finding[] {
  const places = sinks.map((sink) => placeOf(sink, folder));
  return places.flatMap((place, index) => {
    const first = places.indexOf(place);
    if (place === null || first === index) return [];
    return [{ path: ['sinks', index], message: `leads to the same place as entry ${first}: leave one of them out` }];
  });
}

/** Equal texts for one place, in whichever way it is written. Null: the sink does not say where it is, which is told elsewhere. */
function placeOf(sink: SinkOutline, folder: string): string | null {
  const { kind, path, command, region, endpoint, url = KUBERNETES_URL, namespace } = sink;
  const { mount = VAULT_MOUNT, prefix = SINK_PREFIX } = sink;
  if (path !== undefined) return resolve(folder, path);
  if (kind === 'exec') return JSON.stringify([kind, command]);
  if (kind === 'aws_secrets_manager') return JSON.stringify([kind, region, endpoint, prefix]);
  const server = [kind, URL.parse(url)?.href, namespace];
  if (kind === 'kubernetes') return JSON.stringify([...server, prefix]);
  return kind === 'vault' ? JSON.stringify([...server, ...[mount, prefix].map(withoutSlashes)]) : null;
}

function withoutSlashes(path: string): string {
  return path.replace(/^\/|\/$/g, '');
}

/** Signers report in key folders. Without one, a rotation that waits for reports would wait in vain, and fail. */
export function heardSigners({ sinks, policies }: Outline): Finding[] {
  // The sink that is there without a word is a folder. What is wrong with a kind is told elsewhere.
  if (sinks.length === 0 || sinks.some(({ kind }) => kind === undefined || kind === REPORTING)) return [];
  return Object.entries(policies).flatMap(([name, policy]) => {
    const { require_ready: least }: { require_ready?: unknown } = policy;
    if (typeof least !== 'number' || least === 0) return [];
    const message =
      'waits for reports of signers, and no sink takes any: write require_ready: 0, or add a sink of kind directory, which has them';
    return [{ path: ['policies', name, 'require_ready'], message }];
  });
}

/** What is allowed and probably not meant. */
export function reportDoubts({ sinks, policies }: Pick<Config, 'sinks' | 'policies'>): Finding[] {
  if (sinks.some(({ kind }) => kind === REPORTING)) return [];
  return Object.entries(policies).flatMap(([name, { adopt }]) => {
    const message =
      'overlap offers keys until signers report that they take them, and no sink takes reports: run `rekeyd enroll` for each client, or add a sink of kind directory';
    return adopt === 'overlap' ? [{ path: ['policies', name, 'adopt'], message }] : [];
  });
}
