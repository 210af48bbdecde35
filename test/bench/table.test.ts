import { expect, test } from 'vitest';
import { judge } from './figure.ts';
import { table } from './table.ts';

const about = { id: 'P0', what: 'a test', baseline: {} } as const;

test.each([
  { judged: judge({ ...about, unit: 'MiB', goal: 4 / 1024 }, [5 / 1024]), cells: /5 KiB +≤ 4 +NOT MET +\[5\]/ },
  { judged: judge({ ...about, unit: 's', goal: 0.05 }, [0.0364]), cells: /36.4 ms +≤ 50 +met +\[36.4\]/ },
  { judged: judge({ ...about, unit: 'MiB', goal: 120 }, [100]), cells: /100 MiB +≤ 120 +met/ },
  { judged: judge({ ...about, unit: 'ratio', goal: 0.7 }, [0.8]), cells: /0.8 × +≥ 0.7 +met/ },
  { judged: judge({ ...about, unit: 'ratio', goal: 1.4, bound: 'most' }, [1.5]), cells: /1.5 × +≤ 1.4 +NOT MET/ },
])('a $judged.unit with goal $judged.goal is shown in a unit that fits', ({ judged, cells }) => {
  expect(table([judged])).toMatch(cells);
});
