/** Every page. */
import { clientActions } from './actions/client.ts';
import { compromiseActions } from './actions/compromise.ts';
import { driftActions } from './actions/drift.ts';
import { holdingActions } from './actions/holding.ts';
import { requestPages } from './actions/requests.ts';
import type { PageRoute } from './routes.ts';
import { signInRoutes } from './session/sign-in.ts';
import { shownRoutes } from './shown.ts';

export const PAGES: readonly PageRoute[] = [
  ...shownRoutes,
  ...signInRoutes,
  ...clientActions,
  ...compromiseActions,
  ...driftActions,
  ...holdingActions,
  ...requestPages,
];
