/** Cases of the checker's rules: a story that was changed, and the rules that are then broken. What comes of it besides is in the list too. */
import { describe, expect, test } from 'vitest';
import type { Evidence } from '../evidence/evidence.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { judgeHistory } from './checker.ts';
import { type Draft, evidenceOf, type Step } from './story.ts';
import { client, endOf, recordOf } from './subject.ts';

export type Case = readonly [what: string, evidence: Evidence, ...rules: string[]];

/** The checker hears exactly these rules in each case. */
export function hears(cases: readonly Case[]): void {
  describe('the checker hears when', () => {
    test.each(cases.map(([what, evidence, ...rules]) => ({ what, evidence, rules })))(
      '$what',
      ({ evidence, rules }) => {
        const found = judgeHistory(evidence);
        expect([...new Set(found.map(({ rule }) => rule))].sort(), JSON.stringify(found, null, 2)).toEqual(rules);
      },
    );
  });
}

/** The same story, of a client that is otherwise. */
export function as(
  steps: readonly Step[],
  app: Partial<FaultClient['app']>,
  more: Partial<FaultClient> = {},
): Evidence {
  return evidenceOf(steps, { ends: [endOf({ ...client, ...more, app: { ...client.app, ...app } })] });
}

export const commitOf = (step: Step) => ('commit' in step ? step.commit : { record: recordOf([]), drafts: [] });

export const record = (change: object) => (step: Step) => ({
  commit: { ...commitOf(step), record: { ...commitOf(step).record, ...change } },
});

export const drafts = (change: (drafts: readonly Draft[]) => readonly Draft[]) => (step: Step) => ({
  commit: { ...commitOf(step), drafts: change(commitOf(step).drafts) },
});

export const request = (change: object) => (step: Step) => ({
  request: { ...('request' in step ? step.request : {}), ...change },
});

export const event = (name: string, event: object) => ({ name, event }) as Step; // each test has a whole one
