/** What an export does not tell about the keys of a time: an answer that leaves something out says what. */
import type { KeysAt } from './key-times.ts';

export interface Shortfall {
  readonly code: 'empty' | 'begins_later' | 'ends_earlier' | 'gap' | 'clock' | 'client' | 'older_clients';
  readonly message: string;
}

const EXPORTS = 'Name the folders of all exports.';

/** @param at ms since the epoch. @param only the client that was asked for; null: all */
export function shortfalls(
  { first, last, gaps, clock, ...found }: KeysAt,
  at: number,
  only: string | null,
): Shortfall[] {
  if (first === null || last === null) return [{ code: 'empty', message: 'The export holds no entry.' }];
  const said: Shortfall[] = [];
  const say = (code: Shortfall['code'], message: string) => said.push({ code, message });
  if (at < Date.parse(first.time)) {
    const why = first.seq === 1 ? 'Before that, rekeyd looked after no client.' : EXPORTS;
    say('begins_later', `The export begins later: with entry ${first.seq}, at ${first.time}. ${why}`);
    return said;
  }
  const latest = Math.max(Date.parse(last.time), ...clock.map(({ from }) => Date.parse(from.time)));
  if (at > latest) {
    say(
      'ends_earlier',
      `The export ends earlier: with entry ${last.seq}, at ${last.time}. What follows is as of then; export again for what came since.`,
    );
  }
  for (const { after, before, lost } of gaps) {
    const isLater = after !== null && at < Date.parse(after.time);
    const isAround = !isLater && after !== null && at < Date.parse(before.time);
    const missing = `entries ${(after?.seq ?? 0) + 1} to ${before.seq - 1}`;
    const what = lost
      ? `the store was lost or rolled back, which entry ${before.seq} of ${before.time} declares: what happened since entry ${after?.seq ?? 0} may be missing`
      : `${missing} are missing`;
    if (isAround) say('gap', `There is a gap at that time: ${what}. ${lost ? '' : EXPORTS}`.trim());
    else if (!isLater && only === null && (after !== null || before.seq > 1)) {
      say(
        'older_clients',
        `Clients without an entry since ${before.time} are left out: ${what}. ${lost ? '' : EXPORTS}`.trim(),
      );
    }
  }
  for (const { from, to } of clock) {
    say(
      'clock',
      `The store's clock was set back between entries ${from.seq} (${from.time}) and ${to.seq} (${to.time}): that time came twice. Ask for times outside of it.`,
    );
  }
  for (const { client, since } of found.unanswered) {
    const later =
      since === null ? 'names all of its keys' : `tells its keys before entry ${since.seq}, at ${since.time}`;
    say('client', `No entry of the export ${later}: ${client}.`);
  }
  if (only !== null && found.clients.length + found.unanswered.length === 0) {
    say('client', `The export has no entry about ${only}. Write it as \`rekeyd status\` does.`);
  }
  return said;
}
