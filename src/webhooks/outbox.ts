/** What a courier needs of the store. See {@link ../store/webhooks.ts} and {@link ../store/audit-log.ts} for what each member does. */
import type { AuditDraft, AuditEntry } from '../core/audit.ts';
import type { DeadLetter, WebhookState } from '../core/webhook.ts';

export interface Outbox {
  /** Of the store: part of the ids of events. */
  readonly id: string;
  settledAfter(seq: number, limit: number): Promise<readonly AuditEntry[]>;
  takeWebhook(
    name: string,
    holder: string,
    ms: number,
  ): Promise<
    { readonly state: WebhookState; readonly now: number; readonly again: number } | { readonly heldMs: number }
  >;
  leaveWebhook(name: string, holder: string): Promise<void>;
  passWebhook(name: string, from: number, to: number): Promise<boolean>;
  noteFailure(
    name: string,
    from: number,
    failure: { readonly error: string; readonly delayMs: number },
  ): Promise<boolean>;
  giveUp(
    name: string,
    from: number,
    given: { readonly to: number; readonly letters: readonly DeadLetter[]; readonly error: string },
    delayMs: number,
  ): Promise<boolean>;
  stopWebhook(
    name: string,
    from: number,
    stopped: NonNullable<WebhookState['stopped']>,
    entries: readonly AuditDraft[],
  ): Promise<boolean>;
  resumeWebhook(name: string): Promise<void>;
  nextAgain(name: string): Promise<DeadLetter | null>;
  settleAgain(name: string, seq: number, died: DeadLetter | null): Promise<void>;
}
