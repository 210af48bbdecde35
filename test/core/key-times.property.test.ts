/**
 * What the audit log says of the keys of a time, against what a simulated server took then: in random histories of crashes, lost answers, late PATCHes and
 * people. Nothing that the server took is left out, and nothing is called proven that it did not take.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AuditDraft } from '../../src/core/audit.ts';
import { found, imported } from '../../src/core/enrolment.ts';
import { type ClientAt, KeyTimes } from '../../src/core/key-times.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { Play } from './play.ts';
import { type Story, story } from './story.ts';
import { idOf, OPERATOR, REF, START } from './support.ts';

const STORIES = Number(process.env.REKEYD_STORIES ?? 250);

interface Seen {
  readonly tick: number;
  readonly takes: readonly string[];
  /** Keys that are not ours in the set that is in force. */
  readonly theirs: readonly string[];
  /** Somebody may have edited the client since rekeyd last looked. */
  readonly isEdited: boolean;
}

/** The entries that bring a record about as it is at the start of a story. */
function beginning({ server, keys, enrolment }: ClientRecord): readonly AuditDraft[] {
  const first = found(REF, server.observed.client, OPERATOR, START);
  const [key] = keys;
  if (enrolment === 'found' || key === undefined) return first.entries;
  const { kid: _, ...material } = key;
  return [...first.entries, ...imported(first.record, material, OPERATOR, START).entries];
}

const timeOf = (tick: number) => new Date(START + tick).toISOString();

/** Each effect and commit has a time of its own, so that no two things happen at once. */
function played(told: Story) {
  const play = new Play(told);
  const { world } = play;
  const entries = beginning(world.record).map((draft, index) => ({ ...draft, seq: index + 1, time: timeOf(0) }));
  const seen: Seen[] = [];
  let tick = 0;
  let taken = 0;
  let edited = false;
  const happened = world.happened.bind(world);
  world.happened = (what) => {
    happened(what);
    tick += 1;
    for (const draft of world.audit.slice(taken))
      entries.push({ ...draft, seq: entries.length + 1, time: timeOf(tick) });
    taken = world.audit.length;
    const takes = [...world.made.values()].filter((key) =>
      world.effective().some(({ kid }) => world.accepts(key, kid)),
    );
    const theirs = world
      .effective()
      .map(({ kid }) => `${kid}`)
      .filter((kid) => kid.startsWith('foreign'));
    seen.push({ tick, takes: takes.map(({ kid }) => kid), theirs, isEdited: edited });
  };
  const putBack = new Set<string>();
  for (const incident of told.incidents) {
    const before = new Set(world.server.keys.map((jwk) => JSON.stringify(jwk)));
    if (incident.do === 'foreign key' || incident.do === 'foreign key goes' || incident.do === 'put back')
      edited = true;
    if (incident.do === 'client is switched') edited = true;
    play.happen(incident);
    if (incident.do !== 'put back') continue;
    for (const jwk of world.server.keys)
      if (!before.has(JSON.stringify(jwk))) putBack.add(`${jwk.x ?? jwk.n}`.slice(2));
  }
  return { world, entries, seen, putBack };
}

function answerAt(entries: ReturnType<typeof played>['entries'], tick: number): ClientAt | undefined {
  const times = new KeyTimes(START + tick);
  for (const entry of entries) times.take(entry);
  return times.answer().clients[0];
}

describe('the audit log of any history', () => {
  it(
    'tells every key that the server took',
    () => {
      let proven = 0;
      fc.assert(
        fc.property(story, fc.infiniteStream(fc.nat()), (told, picks) => {
          const { world, entries, seen, putBack } = played(told);
          for (let times = 0; times < 12 && seen.length > 0; times += 1) {
            const at = seen[(picks.next().value ?? 0) % seen.length];
            if (at === undefined) continue;
            const { tick, takes, theirs, isEdited } = at;
            const answer = answerAt(entries, tick);
            const keys = answer?.keys ?? [];
            const context = () =>
              `${tick}: ${JSON.stringify({ takes, answer, entries }, null, 1)}\n${world.trace.join('\n')}`;
            const missing = takes.filter((kid) => !putBack.has(kid) && !keys.some((key) => key.kid === kid));
            if (missing.length > 0) throw new Error(`left out: ${missing} at ${context()}`);
            // A key that somebody published, and nothing has seen since, is in no entry.
            const isNamed = (kid: string) => entries.some(({ data }) => `${data.foreign}`.split(',').includes(kid));
            const unnamed = theirs.filter(
              (kid) => isNamed(kid) && !putBack.has(kid) && !keys.some((key) => key.kid === kid),
            );
            if (unnamed.length > 0 && !answer?.others)
              throw new Error(`left out, of theirs: ${unnamed} at ${context()}`);
            const sure = keys.filter(({ certainty, managed }) => certainty === 'proven' && managed);
            proven += sure.length;
            const wrong = isEdited ? [] : sure.filter(({ kid }) => !takes.includes(kid));
            if (wrong.length > 0) throw new Error(`called proven: ${wrong.map(({ kid }) => kid)} at ${context()}`);
          }
        }),
        { numRuns: STORIES },
      );
      expect(idOf('a')).not.toBe('');
      expect(proven).toBeGreaterThan(STORIES);
    },
    75 * Math.max(STORIES, 800),
  );
});
