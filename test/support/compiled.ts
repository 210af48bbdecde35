import { join } from 'node:path';

/** Where Node keeps what it compiled, for processes that tests start: without it each compiles every file anew. */
export const COMPILED = { NODE_COMPILE_CACHE: join(import.meta.dirname, '../../node_modules/.cache/rekeyd-compiled') };
