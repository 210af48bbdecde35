/** Check of the clients that schedules leave alone: how many, and how they are enrolled. */
import type { ClientRecord } from '../../core/record.ts';
import { advice, type Check, fine } from '../../runtime/checks/check.ts';

/** A key can be imported only while no rotation is under way. One that offers our key waits for its application; any other enrolls its client by itself. */
export function checkEnrolment(records: readonly ClientRecord[]): Check {
  const held = records.filter(({ enrolment }) => enrolment === 'held').length;
  const found = records.filter(({ enrolment }) => enrolment === 'found');
  const offered = found.filter(({ rotation }) => rotation?.phase.name === 'offered').length;
  const idle = found.filter(({ rotation }) => rotation === null).length;
  const known = `${records.length} known, ${found.length} found and ${held} held`;
  const detail = offered === 0 ? known : `${known}; ${offered} of the found are offered our key`;
  if (idle + held + offered === 0) return fine('clients', detail);
  const steps = [
    'Schedules leave found and held clients alone.',
    ...(idle > 0 ? ['Import the keys of found ones (`rekeyd keys import`), which are held then.'] : []),
    ...(idle + held > 0 ? [`Enroll held ones ${WHEN}.`] : []),
    ...(offered > 0 ? [`Enroll those that are offered our key ${WHEN}; there is nothing to import.`] : []),
  ];
  return advice('clients', detail, steps.join(' '));
}

const WHEN = 'when their applications read their key folders (`rekeyd enroll`)';
