/** How webhooks stand, for people: what is wrong with one, and what to do. */
import type { Config } from '../../config/model.ts';
import { shortMessage } from '../../core/reply.ts';
import type { Store } from '../../store/store.ts';
import type { WebhookStanding } from '../../store/webhooks.ts';
import type { WebhookStatus } from '../model.ts';

/** Of the config's webhooks, those that a worker has begun. */
export async function webhookStatuses(
  { webhooks }: Pick<Config, 'webhooks'>,
  store: Pick<Store, 'webhookStandings'>,
): Promise<readonly WebhookStatus[]> {
  const standings = await store.webhookStandings(webhooks.map(({ name }) => name));
  return [...standings].map(([name, standing]) => statusOf(name, standing));
}

function statusOf(webhook: string, standing: WebhookStanding): WebhookStatus {
  const { pending, dead, again, dropped, failingSince, nextAt, error, stopped } = standing;
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  return {
    ...{ webhook, pending, dead, again, dropped },
    failing_since: time(failingSince),
    next_try: time(nextAt),
    error: error === null ? null : shortMessage(error),
    stopped: stopped === null ? null : stopped.why,
  };
}

export function isFailing({ failing_since: since, stopped }: WebhookStatus): boolean {
  return since !== null || stopped !== null;
}

/** What is wrong with it, and what to do; null: nothing is. */
export function webhookProblem(status: WebhookStatus): { readonly what: string; readonly fix: string } | null {
  const { webhook, pending, dead, dropped, failing_since: since, error, stopped, next_try: next } = status;
  const lost = dropped === 0 ? '' : `, ${dropped} older ones were dropped`;
  const letters = dead === 0 ? '' : `; dead letters: ${dead}${lost}`;
  const retry = `\`rekeyd webhooks retry ${webhook}\``;
  if (stopped !== null) {
    const what = `STOPPED, since the receiver wants nothing more: ${stopped}. Entries that wait: ${pending}${letters}`;
    return { what, fix: `Change its settings, or ${retry}.` };
  }
  if (since !== null) {
    const again = next === null ? '' : `, tried again at ${next}`;
    const what = `FAILING since ${since}${again}: ${error ?? 'no reason is known'}. Entries that wait: ${pending}${letters}`;
    return { what, fix: `Mend the receiver. It is tried again by itself, and at once with ${retry}.` };
  }
  if (dead === 0 && dropped === 0) return null;
  const what = `dead letters, events that could not be delivered: ${dead}${lost}`;
  return {
    what,
    fix: `\`rekeyd webhooks dead ${webhook}\` shows them; ${retry} or \`rekeyd webhooks discard ${webhook}\`.`,
  };
}

/** For `status`; null: nothing is wrong. */
export function webhookLine(status: WebhookStatus): string | null {
  const problem = webhookProblem(status);
  return problem === null ? null : `WEBHOOK  ${status.webhook}: ${problem.what}. ${problem.fix}`;
}
