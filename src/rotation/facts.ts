/** What is known of the server of each app, at hand: policies are made of it where nothing can be waited for. */
import { type AuditDraft, type Who, whoOf } from '../core/audit.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import { type AppFacts, NOTHING_KNOWN, seenAlg, takesSeveral } from '../core/findings.ts';
import type { Algorithm } from '../core/keys.ts';
import type { Apps } from '../store/app-facts.ts';

export interface Facts {
  /** Of the client's app, as it was read last; nothing before that. */
  of(ref: ClientRef): AppFacts;
  ofApp(app: string): AppFacts;
  /** Reads what the store knows by now. Apps are `deployment/slug`. */
  refresh(apps: Iterable<string>): Promise<void>;
  /** The client signed in with a key for that alg, as the issuer said. */
  noteProven(ref: ClientRef, alg: Algorithm): Promise<void>;
  /** The server takes one key, whatever a probe found. True when nobody knew. */
  noteRefusedOverlap(ref: ClientRef): Promise<boolean>;
}

export function appOf(ref: ClientRef): string {
  const { deployment, app } = splitReference(ref);
  return `${deployment}/${app}`;
}

type Noting = Pick<Apps, 'appFacts' | 'noteProven' | 'noteRefusedOverlap'>;

export function openFacts(store: Noting): Facts {
  const known = new Map<string, AppFacts>();
  const ofApp = (app: string) => known.get(app) ?? NOTHING_KNOWN;
  const of = (ref: ClientRef) => ofApp(appOf(ref));

  async function read(app: string): Promise<void> {
    known.set(app, await store.appFacts(app));
  }

  return {
    of,
    ofApp,
    async refresh(apps) {
      await Promise.all([...new Set(apps)].map(read));
    },
    async noteProven(ref, alg) {
      // Each sign-in says the same again.
      if (seenAlg(of(ref), alg) === 'accepted') return;
      const app = appOf(ref);
      await store.noteProven(app, alg, ref);
      await read(app);
    },
    async noteRefusedOverlap(ref) {
      if (!takesSeveral(of(ref))) return false;
      const app = appOf(ref);
      await store.noteRefusedOverlap(app, ref);
      await read(app);
      return true;
    },
  };
}

/** Clients of the app that are under `strategy: auto` are rotated in another way from now on. */
export function strategyEntry(app: string, to: 'overlap' | 'cutover', reason: string, who: Who): AuditDraft {
  const from = to === 'overlap' ? 'cutover' : 'overlap';
  return { type: 'app.strategy', client: null, rotation: null, ...whoOf(who), reason, data: { app, from, to } };
}
