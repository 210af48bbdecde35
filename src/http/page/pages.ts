/** Every page. */
import type { PageRoute } from './routes.ts';
import { shownRoutes } from './shown.ts';
import { signInRoutes } from './sign-in.ts';

export const PAGES: readonly PageRoute[] = [...shownRoutes, ...signInRoutes];
