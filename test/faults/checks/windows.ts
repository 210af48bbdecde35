/** A schedule begins a rotation only inside of the windows of its policy. */
import type { Check } from './checker.ts';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** The form that the fleets here use, in UTC: days, and a time of the same day. */
const WINDOW = /^(\w{3})-(\w{3}) (\d\d):(\d\d)-(\d\d):(\d\d)$/;

export const windowsAreKept: Check = ({ audit, ends }) => {
  const windows = new Map(ends.map(({ client: { ref, app } }) => [ref, app.policy.windows]));
  return audit.flatMap(({ type, client, actor, at }) => {
    if (type !== 'rotation.started' || client === null || !actor.startsWith('schedule:')) return [];
    const allowed = windows.get(client);
    if (!Array.isArray(allowed) || allowed.some((window) => isOpen(`${window}`, at))) return [];
    const message = `${actor} began a rotation at ${new Date(at).toISOString()}, outside of ${allowed.join(', ')}`;
    return [{ rule: 'outside_window', ref: client, message }];
  });
};

function isOpen(window: string, at: number): boolean {
  const [whole, first = '', last = '', ...times] = WINDOW.exec(window) ?? [];
  if (whole === undefined) throw new Error(`the checker does not read the window ${window}`);
  const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
  const date = new Date(at);
  const sinceFirst = (date.getUTCDay() - from + 7) % 7;
  const [startHour = 0, startMinute = 0, endHour = 0, endMinute = 0] = times.map(Number);
  const minute = date.getUTCHours() * 60 + date.getUTCMinutes();
  const isTime = minute >= startHour * 60 + startMinute && minute < endHour * 60 + endMinute;
  return sinceFirst <= (to - from + 7) % 7 && isTime;
}
