/**
 * Spans as OTLP/JSON (opentelemetry-proto, `ExportTraceServiceRequest`), cut down to facts that are known to be harmless. BullMQ's own attributes hold the
 * options of its workers, and with them the password of Redis; jobs hold what people write. So only what is on a list leaves the process.
 */
import type { HrTime } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/** Of the process that sends. */
export interface Origin {
  readonly version: string;
  /** Which of several workers. */
  readonly instance: string;
}

/** Spans of rekeyd itself; BullMQ's have another scope. */
export const SCOPE = 'rekeyd';

const ALLOWED: ReadonlySet<string> = new Set([
  'rekeyd.client',
  'rekeyd.deployment',
  'rekeyd.kid',
  'rekeyd.outcome',
  'rekeyd.purpose',
  'rekeyd.rotation',
  'rekeyd.error',
  'http.request.method',
  'http.response.status_code',
  'server.address',
  'url.path',
  'bullmq.queue.name',
  'bullmq.queue.operation',
  'bullmq.job.id',
  'bullmq.job.name',
  'bullmq.job.attempts.made',
]);

const MOST_TEXT = 200;

/** OTLP counts from 1; 0 is no kind. */
const INTERNAL = 0;

/** BullMQ also tells each time that a worker waits for a job. */
export function isTold({ kind, instrumentationScope }: ReadableSpan): boolean {
  return kind !== INTERNAL || instrumentationScope.name === SCOPE;
}

export function exportRequest(spans: readonly ReadableSpan[], { version, instance }: Origin): object {
  const scopes = Map.groupBy(spans, ({ instrumentationScope }) => instrumentationScope.name);
  const about = { 'service.name': 'rekeyd', 'service.version': version, 'service.instance.id': instance };
  return {
    resourceSpans: [
      {
        resource: { attributes: attributesOf(about) },
        scopeSpans: [...scopes].map(([name, told]) => ({ scope: { name }, spans: told.map(spanOf) })),
      },
    ],
  };
}

function spanOf(span: ReadableSpan): object {
  const { traceId, spanId } = span.spanContext();
  const parent = span.parentSpanContext?.spanId;
  const allowed = Object.entries(span.attributes).filter(([name]) => ALLOWED.has(name));
  return {
    traceId,
    spanId,
    ...(parent !== undefined && { parentSpanId: parent }),
    name: span.name.slice(0, MOST_TEXT),
    kind: span.kind + 1,
    startTimeUnixNano: nanos(span.startTime),
    endTimeUnixNano: nanos(span.endTime),
    attributes: attributesOf(Object.fromEntries(allowed)),
    // Without its message, which may quote anything, and without events, which hold exceptions.
    status: { code: span.status.code },
  };
}

/** 64-bit integers are strings in JSON. */
function nanos([seconds, rest]: HrTime): string {
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(rest));
}

function attributesOf(attributes: Readonly<Record<string, unknown>>): readonly object[] {
  return Object.entries(attributes).flatMap(([key, value]) => {
    if (typeof value === 'string') return { key, value: { stringValue: value.slice(0, MOST_TEXT) } };
    if (typeof value === 'boolean') return { key, value: { boolValue: value } };
    if (typeof value !== 'number') return [];
    return { key, value: Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value } };
  });
}
