/** Foreign keys on a lifeline: what they are called, and what is known of them beside our keys. */
import { expect, it } from 'vitest';
import type { ClientRecord } from '../../../src/core/record.ts';
import { foreignLines } from '../../../src/status/lifeline/foreign.ts';
import {
  client,
  enrolledRecord,
  HOUR,
  idOf,
  published,
  publishedPem,
  START,
  seeing,
  summary,
} from '../../core/support.ts';

const NOW = START + 10 * HOUR;
const ACTIVE = START + 2 * HOUR;
const ENDED = START + 3 * HOUR;

/** Our first key took the place of a foreign one. */
function replaced(record: ClientRecord, strategy: 'overlap' | 'cutover') {
  const first = summary('r1', { strategy, kid: 'a', replaces: null, activeAt: ACTIVE, endedAt: ENDED });
  return foreignLines({ record: { ...record, keys: [], foundAt: START }, summaries: [first], now: NOW });
}

it('one without a name goes by its id, and one beside a key of ours is published, not deactivated', () => {
  const seen = client({ keys: [published('a'), publishedPem('x'), published('theirs')] });
  const record = seeing(enrolledRecord(), seen);
  const lines = foreignLines({ record: { ...record, foundAt: START - HOUR }, summaries: [], now: NOW });
  const spans = [
    { state: 'active', from: START - HOUR, to: START },
    { state: 'published', from: START, to: null },
  ];
  expect(lines).toMatchObject([
    { kid: idOf('x'), ours: false, spans },
    { kid: 'theirs', ours: false, spans },
  ]);
});

it.each([
  // The PATCH that brought our key in took the foreign one away.
  { strategy: 'cutover' as const, spans: [{ state: 'active', from: START, to: ACTIVE }] },
  {
    strategy: 'overlap' as const,
    spans: [
      { state: 'active', from: START, to: ACTIVE },
      { state: 'published', from: ACTIVE, to: ENDED },
    ],
  },
])(
  'one that our first key replaced in a rotation of kind $strategy is shown for as long as the server had it',
  (told) => {
    const record = seeing(enrolledRecord(), client({ keys: [published('a')] }));
    expect(
      replaced({ ...record, former: [{ kid: 'a', id: idOf('a'), at: NOW, compromised: false }] }, told.strategy),
    ).toEqual([{ kid: null, alg: null, ours: false, spans: told.spans, until: null }]);
  },
);
