/** What a person is told to do about a client. */
import { expect, test } from 'vitest';
import type { ClientRecord } from '../../../src/core/record.ts';
import { adviceOn } from '../../../src/status/client/advice.ts';
import { driftView } from '../../../src/status/client/drift.ts';
import type { ClientStatus } from '../../../src/status/model.ts';
import { client, enrolledRecord, POLICY, published, REF } from '../../core/support.ts';

const ROTATION: NonNullable<ClientStatus['rotation']> = {
  ...{ id: 'r1', strategy: 'overlap', phase: 'stored', kid: 'b', offered_until: null, since: '', rollback: false },
  ...{ attempts: 1, next_try: '2026-01-01T00:00:00.000Z', error: 'EIO', compromised: false, actor: 'a', reason: 'r' },
};

const HEALTHY: ClientStatus = {
  ...{
    client: REF,
    client_id: 'c',
    policy: 'p',
    enrolment: 'enrolled',
    state: 'healthy',
    overdue: false,
    paused: null,
  },
  ...{ compromised: false, active: null, keys: [], next_due: null, due: null, rotation: null, retiring: [] },
  ...{ signers: null, waiting: null, drift: null, last_error: null, halted: null },
};

const MISSING = { heard_at: '', error: null, reports: [], missing: ['host-1', 'host-2'] };
const PAUSED = { policy: 'p', actor: 'a', reason: 'r', since: '', until: null };
const RETIRING = {
  kid: 'a',
  rotation: 'r',
  role: 'replaced',
  phase: 'withdrawn',
  until: '',
  attempts: 1,
  error: 'x',
} as const;

function adviceFor(
  status: Partial<ClientStatus>,
  refused: string | null = null,
  record: ClientRecord = enrolledRecord(),
) {
  return adviceOn({ record, status: { ...HEALTHY, ...status }, drift: driftView(record, POLICY), refused });
}

test.each<[string, Partial<ClientStatus>, RegExp]>([
  ['reported and still in use', { compromised: true, last_error: 'x' }, /`rekeyd rotate \S+ --compromised`/],
  ['halted', { halted: 'two others', last_error: 'two others' }, /drift.*`rekeyd rotate \S+4711` rotates it\.$/],
  ['halted in a rotation', { halted: 'x', rotation: ROTATION }, /continues its rotation\.$/],
  ['failing', { rotation: ROTATION, last_error: 'EIO' }, /by itself \(next at 2026-01-01.*`rekeyd abandon/],
  ['failed', { state: 'failed', last_error: 'EIO' }, /`rekeyd rotate \S+` tries again at once\.$/],
  ['failed, and due', { last_error: 'EIO', next_due: '2026' }, /the schedule does so with its next tick\.$/],
  ['failing to retire', { last_error: 'x', retiring: [RETIRING] }, /^The new key is in use/],
  ['waiting for signers', { rotation: { ...ROTATION, error: null }, signers: MISSING }, /host-1, host-2/],
  ['without a policy', { policy: null }, /`rekeyd release/],
  ['found', { enrolment: 'found', state: 'found' }, /`rekeyd keys import/],
  [
    'found, and offered our key',
    {
      enrolment: 'found',
      state: 'found',
      rotation: { ...ROTATION, error: null, offered_until: '2026-01-31T00:00:00.000Z' },
    },
    /^When its application reads its key folder: `rekeyd enroll/,
  ],
  ['held', { enrolment: 'held', state: 'held' }, /`rekeyd enroll/],
  ['overdue', { overdue: true }, /^Its key is older than must_by\. `rekeyd rotate \S+` replaces it now\.$/],
  ['overdue and paused', { overdue: true, paused: PAUSED }, /`rekeyd resume --policy p`/],
])('a client that is %s', (_, status, advice) => {
  expect(adviceFor(status)).toMatch(advice);
  expect(adviceFor(status)?.length).toBeLessThan(300);
});

test('nothing is said of a healthy one, of a found one that is rotated, and of a refused API key only where something waits for it', () => {
  expect(adviceFor({})).toBeNull();
  // No key can be imported during a rotation: it enrolls the client, or offers it our key.
  expect(adviceFor({ enrolment: 'found', state: 'rotating', rotation: { ...ROTATION, error: null } })).toBeNull();
  expect(adviceFor({}, 'the API key is refused')).toBeNull();
  expect(adviceFor({ rotation: ROTATION, last_error: 'x' }, 'the API key is refused')).toMatch(
    /^Nothing is sent to its deployment/,
  );
});

test('a key that others replaced after its import has a way on of its own', () => {
  const record = enrolledRecord(client({ keys: [published('a')] }));
  const { server } = record;
  const shown = {
    ...server,
    confirmedAt: null,
    observed: { ...server.observed, client: client({ keys: [published('z')] }) },
  };
  const advice = adviceFor({ last_error: 'the server does not show it' }, null, { ...record, server: shown });
  expect(advice).toMatch(/`rekeyd rotate \S+` replaces what the server shows; or `rekeyd release/);
});
