/** Every page. */
import type { PageRoute } from './routes.ts';
import { signInRoutes } from './sign-in.ts';

export const PAGES: readonly PageRoute[] = [...signInRoutes];
