/** What the pictures of a lifeline show, in words. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { Lifeline } from '../../../../status/views.ts';
import { table } from '../table.ts';
import { clock, keyName } from '../words.ts';

export function lifelineTables({ keys, marks }: Lifeline): SafeHtml {
  const spans = keys.flatMap(({ kid, alg, ours, spans, until }) =>
    spans.map(({ state, from, to }, index) => {
      const isLast = index === spans.length - 1;
      const end = to !== null ? clock(to) : isLast && until !== null ? html`${clock(until)}, as planned` : 'still so';
      return [kid === null ? 'foreign key' : keyName(kid), ours ? 'yes' : 'no', alg ?? '–', state, clock(from), end];
    }),
  );
  const happened = marks.map(({ at, what, kid }) => [
    clock(at),
    { patched: 'PATCH', accepted: 'Proof: accepted', refused: 'Proof: refused' }[what],
    what === 'patched' ? '–' : keyName(kid),
  ]);
  return html`<details id="lifeline-words"><summary>The same in words</summary>
${table({ caption: 'Keys over time', heads: ['Key', 'Ours', 'Alg', 'State', 'From', 'Until'], rows: spans })}
${table({ caption: 'PATCHes and proofs', heads: ['Time', 'What', 'Key'], rows: happened, none: 'No PATCH and no proof is known.' })}</details>`;
}
