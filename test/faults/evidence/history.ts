/** Everything that happened in one run, in order: one JSON line each, and what the checker reads. */
import { createWriteStream } from 'node:fs';

/** Milliseconds since the epoch, on the one clock of the machine that all of it runs on. */
interface At {
  readonly at: number;
}

export type JwkMembers = { readonly [member: string]: unknown };

/** A commit as Redis executed it, not as anybody meant it. */
export interface CommitEvent extends At {
  readonly kind: 'commit';
  readonly ref: string;
  /** What the writer believed: the last commit, and the claim that it worked under. Empty for a new client. */
  readonly expected: { readonly op: string; readonly claim: string };
  readonly op: string;
  readonly version: string;
  readonly record: string;
  /** Rotations that ended with it, as JSON. */
  readonly ended: readonly string[];
  /** Audit drafts that the same script appended, as JSON. */
  readonly drafts: readonly string[];
}

export type Event =
  | CommitEvent
  | (At & { readonly kind: 'claim'; readonly ref: string; readonly claim: string; readonly epoch: string })
  /** By thumbprint. */
  | (At & { readonly kind: 'sealed' | 'erased'; readonly ref: string; readonly kid: string })
  /** An audit entry that came without a change of a record. */
  | (At & { readonly kind: 'loose_entry'; readonly draft: string })
  /** The store was told that a wave begins: how many are due, and how many of them go first. */
  | (At & {
      readonly kind: 'wave';
      readonly policy: string;
      readonly id: string;
      readonly found: number;
      readonly first: number;
    })
  /** The store was told that a deployment wants to be left alone until then. */
  | (At & { readonly kind: 'left_alone'; readonly deployment: string; readonly until: number })
  /** What Redis holds after it came back: what was written last may be gone. */
  | (At & {
      readonly kind: 'snapshot';
      readonly clients: Readonly<Record<string, SnapshotClient>>;
      /** By deployment, as `left_alone` has it. */
      readonly leftAlone: Readonly<Record<string, number>>;
    })
  /** `lost`: an empty store, another one or an older one took the place of the workers' own. Then that one is back, or a person goes on without it. */
  | (At & { readonly kind: 'store'; readonly what: 'lost' | 'restored' | 'declared'; readonly how: string })
  /** No write is confirmed from `unconfirmed` until `confirms`. */
  | (At & { readonly kind: 'unconfirmed' | 'confirms' })
  /** All that was written until now is on disk, and a worker is about to hear it. Comes only where it is asked for; the first one says so. */
  | (At & { readonly kind: 'durable' })
  | (At & { readonly kind: 'worker'; readonly worker: number; readonly what: string })
  /** It hears no answer for so long. */
  | (At & { readonly kind: 'frozen'; readonly worker: number; readonly ms: number })
  /** A worker that had begun to work ended by itself. */
  | (At & { readonly kind: 'crash'; readonly worker: number; readonly code: number })
  | (At & { readonly kind: 'kill'; readonly worker: number; readonly where: string })
  /** A worker did as it was told at a point. */
  | (At & {
      readonly kind: 'deed';
      readonly worker: number;
      readonly deed: string;
      readonly point: string;
      readonly ref: string;
    })
  | (At & { readonly kind: 'lock_loss'; readonly job: string })
  | (At & { readonly kind: 'redis'; readonly fault: string })
  | (At & { readonly kind: 'api'; readonly fault: string })
  /** Somebody changed the client on the server by hand, or ended its rotation. */
  | (At & { readonly kind: 'edit'; readonly ref: string; readonly what: string })
  /** A person is about to tell rekeyd that it may rotate this client. */
  | (At & { readonly kind: 'entrusted'; readonly ref: string; readonly how: string })
  /** A report of a signer is about to lie where rekeyd reads it. */
  | (At & {
      readonly kind: 'report';
      readonly ref: string;
      readonly name: string;
      readonly kids: readonly string[];
      readonly signing: string | null;
    })
  /** A person had the key `restores` put back in place of `replaces`, by that rotation. */
  | (At & {
      readonly kind: 'undone';
      readonly ref: string;
      readonly rotation: string;
      readonly restores: string;
      readonly replaces: string;
    })
  /** A person is about to take the client out of rekeyd's hands. */
  | (At & { readonly kind: 'released'; readonly ref: string })
  | (At & { readonly kind: 'asked'; readonly job: string; readonly rotations: readonly string[] })
  /** Somebody calls the HTTP API. The audit log says `name` as the reason for whatever comes of it. */
  | (At & {
      readonly kind: 'call';
      readonly name: string;
      readonly token: string;
      /** What the call may come to: what it asks for, nothing although it may ask, or a refusal. */
      readonly due: 'effect' | 'nothing' | 'refusal';
    })
  /** A worker answered a try of that call. */
  | (At & {
      readonly kind: 'answer';
      readonly name: string;
      readonly port: number;
      readonly status: number;
      /** Empty: it says nothing of one. */
      readonly request: string;
      readonly rotations: readonly { readonly id: string; readonly client: string }[];
      /** No worker has begun it yet. */
      readonly pending: boolean;
    })
  /** A person is about to revoke that token. */
  | (At & { readonly kind: 'revoking'; readonly token: string })
  /** A listener was told of an entry of the audit log. */
  | (At & {
      readonly kind: 'told';
      readonly listener: string;
      readonly rotation: string;
      readonly seq: number;
      readonly type: string;
    })
  /** It was told that nothing more will come. */
  | (At & { readonly kind: 'told_all'; readonly listener: string; readonly rotation: string })
  /** The receiver of a webhook took an event, or the same one again. */
  | (At & {
      readonly kind: 'hook';
      readonly id: string;
      readonly seq: number;
      readonly type: string;
      readonly isSigned: boolean;
    })
  /** The server asked to be left alone. */
  | (At & {
      readonly kind: 'throttled';
      readonly deployment: string;
      readonly client: string | null;
      readonly until: number;
    })
  | (At & {
      readonly kind: 'login';
      readonly ref: string;
      readonly result: 'ok' | 'fallback' | 'refused';
      /** What each try was answered. */
      readonly tried: readonly string[];
      /** The tries that were refused, in their order. */
      readonly refused: readonly Try[];
    });

/** From the choice of its key, or where the folder did not answer then, from when the key was last seen there, to the answer of the server. */
export interface Try {
  readonly from: number;
  readonly to: number;
}

export interface SnapshotClient {
  readonly version: string;
  readonly op: string;
  readonly claim: string;
  readonly epoch: string;
  readonly record: string;
  readonly sealed: readonly string[];
}

/** Each event but for its time; `Omit` of a union would keep only what all of them share. */
export type Untimed<E> = E extends Event ? Omit<E, 'at'> : never;

export interface History {
  readonly events: Event[];
  note(event: Untimed<Event>, at?: number): void;
  close(): Promise<void>;
}

export function openHistory(file: string): History {
  const lines = createWriteStream(file);
  const events: Event[] = [];
  return {
    events,
    note(untimed, at = Date.now()) {
      const event = { at, ...untimed } as Event; // the same members that `Untimed` took one away from
      events.push(event);
      lines.write(`${JSON.stringify(event)}\n`);
    },
    close: () => new Promise((resolve) => void lines.end(resolve)),
  };
}
