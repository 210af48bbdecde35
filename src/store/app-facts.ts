/** What is known of the server of each app, for all workers: findings of probes, and what clients were seen to do. An app is `deployment/slug`. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import type { ClientRef } from '../core/client.ts';
import type { AppFacts, Findings, Sighting } from '../core/findings.ts';
import { ALGORITHMS, type Algorithm } from '../core/keys.ts';
import { parseJson } from '../core/reply.ts';
import { draftTexts } from './audit-log.ts';
import { NOTE_FACT, STORE_FINDINGS } from './lua/app-facts.ts';
import { HOLD_STRING, LEAVE_STRING } from './lua/lease.ts';
import { integer } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Apps {
  appFacts(app: string): Promise<AppFacts>;
  /** With its audit entries. What failed, or spoke against earlier findings, is forgotten. */
  storeFindings(app: string, findings: Findings, entries: readonly AuditDraft[]): Promise<void>;
  noteFailedProbe(app: string, error: string): Promise<void>;
  /** A client signed in with a key for that alg. */
  noteProven(app: string, alg: Algorithm, client: ClientRef): Promise<void>;
  /** See {@link AppFacts.refusedOverlap}. */
  noteRefusedOverlap(app: string, client: ClientRef): Promise<void>;
  /** 0: `holder` may probe the app for `ms` from now on, and asks again before they are over. Else for how many ms somebody else may. */
  holdProbe(app: string, holder: string, ms: number): Promise<number>;
  leaveProbe(app: string, holder: string): Promise<void>;
}

export function openApps(redis: Redis, scripts: Scripts): Apps {
  const { keys } = scripts;
  async function note(app: string, field: string, text: string): Promise<void> {
    await scripts.run({ lua: NOTE_FACT, keys: [keys.app(app)], args: [field, text] });
  }

  return {
    async appFacts(app) {
      return factsOf(await scripts.ask(() => redis.hgetall(keys.app(app))));
    },
    async storeFindings(app, findings, entries) {
      const touched = [keys.app(app), keys.audit, keys.operation(randomUUID())];
      const args = [JSON.stringify(findings), ...draftTexts(entries)];
      await scripts.run({ lua: STORE_FINDINGS, keys: touched, args });
    },
    noteFailedProbe: (app, error) => note(app, 'failed', error),
    noteProven: (app, alg, client) => note(app, `alg:${alg}`, client),
    noteRefusedOverlap: (app, client) => note(app, 'overlap', client),
    async holdProbe(app, holder, ms) {
      return integer(await scripts.run({ lua: HOLD_STRING, keys: [keys.probing(app)], args: [holder, ms] }));
    },
    async leaveProbe(app, holder) {
      await scripts.run({ lua: LEAVE_STRING, keys: [keys.probing(app)], args: [holder] });
    },
  };
}

function factsOf(fields: Readonly<Record<string, string>>): AppFacts {
  const [failed, overlap] = [noted(fields.failed), noted(fields.overlap)];
  const proven = ALGORITHMS.flatMap((alg): [Algorithm, Sighting][] => {
    const seen = noted(fields[`alg:${alg}`]);
    return seen === null ? [] : [[alg, { at: seen.at, client: seen.text }]];
  });
  return {
    findings: findingsOf(fields.findings),
    proven: Object.fromEntries(proven),
    refusedOverlap: overlap === null ? null : { at: overlap.at, client: overlap.text },
    failed: failed === null ? null : { at: failed.at, error: failed.text },
  };
}

/** Those of a later version may mean something else: then nothing is known. */
function findingsOf(text: string | undefined): Findings | null {
  const findings = parseJson(text ?? '') as Findings | undefined; // only the script writes it, from Findings
  return findings?.v === 1 ? findings : null;
}

/** As the script writes it: ms since the epoch, and a text. */
function noted(value: string | undefined): { readonly at: number; readonly text: string } | null {
  const [, at, text] = /^(\d+) (.*)$/s.exec(value ?? '') ?? [];
  return at === undefined || text === undefined ? null : { at: Number(at), text };
}
