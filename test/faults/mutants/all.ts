import { fleet } from './fleet.ts';
import { http } from './http.ts';
import { limits } from './limits.ts';
import type { Mutant } from './mutant.ts';
import { publishing } from './publishing.ts';
import { secrets } from './secrets.ts';
import { standby } from './standby.ts';
import { store } from './store.ts';

export const MUTANTS: readonly Mutant[] = [
  ...publishing,
  ...store,
  ...limits,
  ...fleet,
  ...standby,
  ...http,
  ...secrets,
];
