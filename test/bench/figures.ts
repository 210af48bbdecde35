/** Every figure of the benchmark: one file each. */
import type { Figure } from './figure.ts';
import { p1 } from './p1.ts';
import { p1Always } from './p1-always.ts';
import { p1File } from './p1-file.ts';
import { p2 } from './p2.ts';
import { p3, p3Making } from './p3.ts';
import { p4 } from './p4.ts';
import { p5 } from './p5.ts';
import { p6 } from './p6.ts';
import { p7 } from './p7.ts';
import { p8 } from './p8.ts';
import { p9 } from './p9.ts';
import { p10 } from './p10.ts';
import { p10Verify } from './p10-verify.ts';
import { p11 } from './p11.ts';
import { p13 } from './p13.ts';
import { p15, p15Listeners } from './p15.ts';
import { p16 } from './p16.ts';
import { p16Metrics } from './p16-metrics.ts';
import { p16Seal } from './p16-seal.ts';
import { p17 } from './p17.ts';

export const figures: readonly Figure[] = [
  p1,
  p1Always,
  p1File,
  p2,
  p3,
  p3Making,
  p4,
  p5,
  p6,
  p7,
  p8,
  p9,
  p10,
  p10Verify,
  p11,
  p13,
  p15,
  p15Listeners,
  p16,
  p16Metrics,
  p16Seal,
  p17,
];
