/** Webhooks: how they stand, and what becomes of the events that could not be delivered. */
import { loadConfig } from '../config/load.ts';
import type { AuditDraft, AuditType } from '../core/audit.ts';
import type { DeadLetter } from '../core/webhook.ts';
import { RekeydError } from '../errors.ts';
import { isFailing, webhookProblem, webhookStatuses } from '../status/fleet/webhooks.ts';
import type { Letters } from '../store/webhooks.ts';
import { author, type Globals, withResourcesOf } from './open.ts';
import { note, print, printJson, printTable } from './output.ts';
import { usage } from './select.ts';

interface Options {
  readonly json?: boolean;
}

interface ChangeOptions extends Options {
  readonly reason?: string;
}

/** Ends with 1 when one fails, so that a script can ask. */
export async function webhooksList({ file, env }: Globals, { json }: Options): Promise<number> {
  const config = await loadConfig(file, env);
  return withResourcesOf(config, async ({ store }) => {
    const webhooks = await webhookStatuses(config, store);
    const known = new Map(webhooks.map((one) => [one.webhook, one]));
    if (json) printJson({ webhooks });
    else if (config.webhooks.length === 0) print('The config has no webhooks (docs/webhooks.md).');
    else {
      const rows = config.webhooks.map(({ name, format }) => {
        const status = known.get(name);
        if (status === undefined) return [name, format, '-', '-', 'no worker has begun it: run `rekeyd start`'];
        return [name, format, `${status.pending}`, `${status.dead}`, webhookProblem(status)?.what ?? 'delivered'];
      });
      printTable(['WEBHOOK', 'FORMAT', 'WAITING', 'DEAD', 'STATE'], rows);
      for (const status of webhooks) {
        const problem = webhookProblem(status);
        if (problem !== null) note(`${status.webhook}: ${problem.fix}`);
      }
    }
    return webhooks.some(isFailing) ? 1 : 0;
  });
}

export async function webhooksDead(globals: Globals, name: string, { json }: Options): Promise<number> {
  return withWebhook(globals, name, async ({ store }) => {
    const letters = await store.deadLetters(name);
    if (json) printJson({ webhook: name, dead: letters.map(shown) });
    else if (letters.length === 0) print(`${name} has no dead letters.`);
    else {
      const rows = letters
        .map(shown)
        .map(({ seq, time, type, client, why }) => [`${seq}`, time, type, client ?? '-', why]);
      printTable(['SEQ', 'TIME', 'TYPE', 'CLIENT', 'WHY'], rows);
    }
    return 0;
  });
}

function shown({ entry: { seq, time, type, client }, why, at }: DeadLetter) {
  return { seq, time, type, client, why, given_up: new Date(at).toISOString() };
}

export async function webhooksRetry(
  globals: Globals,
  name: string,
  seqs: readonly string[],
  { reason = 'tried again on the command line', json }: ChangeOptions,
): Promise<number> {
  const letters = lettersOf(seqs);
  return withWebhook(globals, name, async ({ store }) => {
    const count = await store.retryLetters(name, letters, [entry('webhook.retried', name, letters, reason)]);
    if (json) printJson({ webhook: name, retried: count });
    else
      print(
        `${name} is tried at once, and ${counted(count)} once more: \`rekeyd webhooks list\` shows what comes of it.`,
      );
    return missing(letters, count);
  });
}

export async function webhooksDiscard(
  globals: Globals,
  name: string,
  seqs: readonly string[],
  { reason = 'discarded on the command line', json }: ChangeOptions,
): Promise<number> {
  const letters = lettersOf(seqs);
  return withWebhook(globals, name, async ({ store }) => {
    const count = await store.discardLetters(name, letters, [entry('webhook.discarded', name, letters, reason)]);
    if (json) printJson({ webhook: name, discarded: count });
    else print(`Discarded: ${counted(count)} of ${name}. The entries stay in the audit log.`);
    return missing(letters, count);
  });
}

/** 1: not all that were named are there. */
function missing(letters: Letters, count: number): number {
  if (letters === 'all' || letters.length === count) return 0;
  note('Not all of these numbers are dead letters: `rekeyd webhooks dead NAME` lists them.');
  return 1;
}

function counted(count: number): string {
  return count === 1 ? '1 dead letter' : `${count} dead letters`;
}

function entry(type: AuditType, webhook: string, letters: Letters, reason: string): AuditDraft {
  const events = letters === 'all' ? 'all' : letters.map(String);
  return { type, client: null, rotation: null, ...author(), reason, data: { webhook, events } };
}

/** @throws RekeydError `usage` */
function lettersOf(seqs: readonly string[]): Letters {
  if (seqs.length === 0) return 'all';
  const wrong = seqs.find((seq) => !/^[1-9]\d{0,14}$/.test(seq));
  if (wrong !== undefined)
    throw usage(`${JSON.stringify(wrong)} is no number of an entry: \`rekeyd webhooks dead NAME\` lists them.`);
  return [...new Set(seqs.map(Number))];
}

/** @throws RekeydError `not_found` */
async function withWebhook(
  { file, env }: Globals,
  name: string,
  work: Parameters<typeof withResourcesOf<number>>[1],
): Promise<number> {
  const config = await loadConfig(file, env);
  const names = config.webhooks.map((webhook) => webhook.name);
  if (!names.includes(name)) {
    const known = names.length === 0 ? 'It has none.' : `It has: ${names.join(', ')}.`;
    throw new RekeydError('not_found', `The config has no webhook ${JSON.stringify(name)}. ${known}`);
  }
  return withResourcesOf(config, work);
}
