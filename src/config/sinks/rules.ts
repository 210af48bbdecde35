/** What must hold between sinks, and between sinks and policies. */
import { z } from 'zod';
import type { Config } from '../model.ts';
import type { Finding } from '../problems.ts';
import { REPORTING, type SinkConfig } from './model.ts';

const word = z.string().optional().catch(undefined);

/** As much of a sink as the rules between settings look at. */
export const sinkOutline = z.looseObject({ kind: word, path: word });

interface Outline {
  readonly sinks: readonly z.infer<typeof sinkOutline>[];
  readonly policies: Readonly<Record<string, object>>;
}

/** Two sinks of one place would replace each other's sets. Compares what the settings mean: "https://vault/" and "https://vault" are one server. */
export function differentSinks(sinks: readonly SinkConfig[], context: z.RefinementCtx): void {
  const places = sinks.map(placeOf);
  for (const [index, place] of places.entries()) {
    const first = places.indexOf(place);
    if (first === index) continue;
    const message = `leads to the same place as entry ${first}: leave one of them out`;
    context.addIssue({ code: 'custom', path: [index], message });
  }
}

function placeOf(sink: SinkConfig): string {
  return JSON.stringify(partsOf(sink));
}

function partsOf(sink: SinkConfig): readonly unknown[] {
  switch (sink.kind) {
    case 'directory':
    case 'encrypted_file':
      return [sink.path];
    case 'vault':
      return [sink.kind, sink.url, sink.namespace, sink.mount, sink.prefix];
    case 'kubernetes':
      return [sink.kind, sink.url, sink.namespace, sink.prefix];
    case 'aws_secrets_manager':
      return [
        sink.kind,
        sink.endpoint ?? `https://secretsmanager.${sink.region}.amazonaws.com`,
        sink.region,
        sink.prefix,
      ];
    case 'exec':
      // One program may deliver to several places, which its environment names.
      return [sink.kind, sink.program, sink.args, Object.entries(sink.env).sort()];
    default:
      return sink satisfies never;
  }
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
