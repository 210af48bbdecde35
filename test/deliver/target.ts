import { join } from 'node:path';
import type { Target } from '../../src/deliver/replace.ts';
import { PRIVATE } from '../../src/files/access.ts';

/** The client 4711 in the folder of an app. */
export function targetIn(folder: string, more: Partial<Target> = {}): Target {
  return { folder, client: '4711', access: PRIVATE, stores: [], reports: join(folder, '4711', 'signers'), ...more };
}
