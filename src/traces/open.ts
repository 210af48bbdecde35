/** Tracing by OpenTelemetry. Its packages are loaded here, and only when the config names a collector. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context, ContextManager, SpanContext, TextMapPropagator } from '@opentelemetry/api';
import type { SpanFacts, Trace } from '../core/trace.ts';
import { RekeydError } from '../errors.ts';
import { sleep } from '../time.ts';
import { type Collector, openExporter } from './exporter.ts';
import { type Origin, SCOPE } from './otlp.ts';

export interface TracesOptions extends Origin {
  readonly collector: Collector;
  /** 0 to 1. */
  readonly sample: number;
  readonly onProblem: (problem: string | null) => void;
}

export interface Traces {
  readonly trace: Trace;
  /** For BullMQ's option `telemetry`. */
  readonly queues: object;
  /** Sends what is left, for two seconds at most. */
  close(): Promise<void>;
}

/** What is left is not worth a longer stop. */
const FLUSH_MS = 2_000;

const loadPackages = () =>
  Promise.all([import('@opentelemetry/api'), import('@opentelemetry/sdk-trace'), import('bullmq-otel')]);

/** BullMQ finds what is registered with OpenTelemetry's API: one process has it once. */
export async function openTraces({ collector, sample, onProblem, ...origin }: TracesOptions): Promise<Traces> {
  const [api, sdk, { BullMQOtel }] = await loadPackages();
  const exporter = openExporter(collector, origin, onProblem);
  const processor = new sdk.BatchSpanProcessor({ exporter, scheduledDelayMillis: 2_000, exportTimeoutMillis: 10_000 });
  const sampler = new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(sample) });
  const provider = new sdk.TracerProvider({ sampler, spanProcessors: [processor] });
  api.trace.setGlobalTracerProvider(provider);
  api.context.setGlobalContextManager(contextManager(api.ROOT_CONTEXT));
  api.propagation.setGlobalPropagator(propagator(api));
  const tracer = provider.getTracer(SCOPE, origin.version);

  return {
    queues: new BullMQOtel({ tracerName: 'bullmq' }),
    trace: {
      span(name, kind, facts, work) {
        const options = { kind: api.SpanKind[kind === 'client' ? 'CLIENT' : 'INTERNAL'], attributes: known(facts) };
        return tracer.startActiveSpan(name, options, async (span) => {
          try {
            return await work((more) => void span.setAttributes(known(more)));
          } catch (error) {
            span.setStatus({ code: api.SpanStatusCode.ERROR });
            if (error instanceof RekeydError) span.setAttribute('rekeyd.error', error.code);
            throw error;
          } finally {
            span.end();
          }
        });
      },
    },
    async close() {
      const flushed = new AbortController();
      const ending = provider
        .forceFlush({ timeoutMillis: FLUSH_MS })
        .catch(() => {}) // the collector is away: that was told
        .finally(() => flushed.abort());
      await Promise.race([ending, sleep(FLUSH_MS, flushed.signal)]);
      await exporter.shutdown();
      await provider.shutdown().catch(() => {}); // nothing of it is open any more
      api.trace.disable();
      api.context.disable();
      api.propagation.disable();
    },
  };
}

function known(facts: SpanFacts): Record<string, string | number | boolean> {
  const told = Object.entries(facts).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  return Object.fromEntries(told);
}

/** What is begun within a span finds it, also after an `await`. */
function contextManager(root: Context): ContextManager {
  const storage = new AsyncLocalStorage<Context>();
  const manager: ContextManager = {
    active: () => storage.getStore() ?? root,
    with: (context, work, self, ...args) => storage.run(context, () => work.call(self as never, ...args)), // as OpenTelemetry calls it
    bind: (context, target) => {
      if (typeof target !== 'function') return target;
      const bound = (...args: unknown[]) => storage.run(context, () => target(...args));
      return bound as typeof target; // it takes what the target takes
    },
    enable: () => manager,
    disable: () => {
      storage.disable();
      return manager;
    },
  };
  return manager;
}

/** W3C Trace Context, `traceparent`: a job carries the span that added it. */
function propagator({ trace, TraceFlags }: typeof import('@opentelemetry/api')): TextMapPropagator {
  const FORM = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
  return {
    fields: () => ['traceparent'],
    inject(context, carrier, setter) {
      const span = trace.getSpanContext(context);
      if (span === undefined) return;
      const flags = span.traceFlags.toString(16).padStart(2, '0');
      setter.set(carrier, 'traceparent', `00-${span.traceId}-${span.spanId}-${flags}`);
    },
    extract(context, carrier, getter) {
      const [, traceId, spanId, flags = '0'] = FORM.exec(String(getter.get(carrier, 'traceparent'))) ?? [];
      if (traceId === undefined || spanId === undefined) return context;
      const traceFlags = Number.parseInt(flags, 16) & TraceFlags.SAMPLED;
      const parent: SpanContext = { traceId, spanId, traceFlags, isRemote: true };
      return trace.setSpanContext(context, parent);
    },
  };
}
