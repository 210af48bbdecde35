/** The section `telemetry`: who is sent traces. */
import { z } from 'zod';
import { isLoopback } from '../core/host.ts';
import { percent } from './cohort.ts';
import * as field from './fields.ts';
import { section } from './fields.ts';
import type { RouteConfig } from './model.ts';
import { authorities, proxy } from './route.ts';
import { Secret } from './secret.ts';
import type { Sources } from './secrets.ts';

export interface TelemetryConfig {
  /** Null: nothing is traced, and no package for it is loaded. */
  readonly traces: TracesConfig | null;
}

export interface TracesConfig {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, Secret>>;
  /** 0 to 1. */
  readonly sample: number;
  readonly route: RouteConfig;
}

export function telemetry(sources: Sources) {
  const header = field.secret('env:NAME or file:PATH.', sources, headerText);
  const traces = section({
    endpoint: field.url('Where an OpenTelemetry collector takes traces over HTTP, path included.'),
    headers: z
      .record(z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'is no name of an HTTP header'), header)
      .describe('HTTP headers, such as authorization. Their values are secrets.')
      .prefault({}),
    sample: percent('How much of what happens is traced.').prefault('10%'),
    proxy: proxy('How the collector is connected to: env, none, or the URL of a proxy.', sources).prefault('env'),
    ca: authorities('PEM certificates of authorities that are trusted beside the usual ones.', sources).optional(),
  }).transform(({ endpoint, headers, sample, ca = [], ...input }) => ({
    endpoint,
    headers,
    sample: sample / 100,
    route: { proxy: isLoopback(new URL(endpoint).hostname) ? null : input.proxy, authorities: ca },
  }));
  return section({
    traces: traces.describe('A collector that takes OTLP over HTTP. Absent: nothing is traced.').optional(),
  }).transform((input): TelemetryConfig => ({ traces: input.traces ?? null }));
}

/** `Bearer …` has a blank. */
function headerText(value: string): Secret | string {
  return /^[\x20-\x7e]+$/.test(value)
    ? new Secret(value)
    : 'leads to a value with line ends or non-ASCII characters in it: store the bare value of the header there';
}
