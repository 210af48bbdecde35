/**
 * Every error that rekeyd raises on purpose. Callers match on `code`, never on the message, which is written for a person: what happened,
 * what it means, what to do next. Never put key material or credentials in a message.
 */
export type ErrorCode =
  | 'usage' // wrong command line
  | 'config' // the config cannot be used as it is
  | 'secret_missing' // a secret reference points nowhere
  | 'redis_unreachable'
  | 'redis_denied' // the Redis user lacks a right
  | 'redis_unsafe' // persistence or eviction settings that could lose a key
  | 'store_lost' // not the store that was there before: empty, another one, or rolled back
  | 'store_conflict' // the record moved on since it was read (compare-and-set refused)
  | 'store_fenced' // another worker took the record over (claim refused)
  | 'not_durable' // the write could not be confirmed on disk in time
  | 'kek_missing' // no key encryption key with that id is configured
  | 'kms_unavailable' // the service that holds a KEK cannot be asked now, or says no; trying again may help
  | 'key_tampered' // a sealed key fails authentication or belongs to another client
  | 'key_missing' // a managed key's private half is not in the store
  | 'key_invalid' // not a usable private key, or it fails its self-test
  | 'key_destroyed' // the client had it, and has it no more
  | 'breaker' // a compromise of more clients than may be replaced without a confirmation
  | 'not_approved' // it waits for another person
  | 'key_refused' // the issuer lets nobody sign in with it
  | 'key_unproven' // whether it signs in could not be found out
  | 'algorithm_unsupported'
  | 'under_way' // the rotation under way does not allow it
  | 'not_enrolled' // the application was not seen to take its key from us
  | 'not_eligible' // the client does not sign in with a key
  | 'client_reference_invalid'
  | 'job_invalid' // job data that does not parse
  | 'not_configured' // the config of this worker does not have it; that of another may
  | 'issuer_changed' // the API tells another domain of an app than before
  | 'api_failed' // a Wacht call that did not succeed; carries the classified reply
  | 'sink_outdated' // a sink holds a set that was delivered under a later claim
  | 'sink_failed' // a private-key sink could not be written
  | 'publish_failed' // the public set could not be written
  | 'probe_failed' // a probe that learned nothing
  | 'request_failed' // an on-demand job that ended without a result
  | 'request_lost' // an on-demand job that Redis lost before it ended
  | 'seal_broken' // the audit log, or what is known of its seal, is not as it was sealed
  | 'export_failed' // the audit log could not be written to its folder
  | 'not_found';

export class RekeydError extends Error {
  override readonly name = 'RekeydError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** True when `error` is one of ours with that code. */
export function hasCode(error: unknown, code: ErrorCode): error is RekeydError {
  return error instanceof RekeydError && error.code === code;
}

/** True when a private key cannot be had from the store: it is gone, was changed, or its KEK is not there. Trying again alone does not help. */
export function isUnopenable(error: unknown): error is RekeydError {
  return hasCode(error, 'key_missing') || hasCode(error, 'key_tampered') || hasCode(error, 'kek_missing');
}

/** A short text for any thrown value. Node's network errors often have an empty message and say the rest in `code` or in a nested error. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  const nested: unknown = error instanceof AggregateError ? error.errors[0] : error.cause;
  if (nested !== undefined) return messageOf(nested);
  return 'code' in error ? String(error.code) : error.name;
}
