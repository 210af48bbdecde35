/** What a worker does next for one client. */
import type { KeyDocument, PublicJwk } from './document.ts';
import type { Algorithm } from './keys.ts';
import type { Retirement } from './retirement.ts';
import type { Rotation } from './rotation.ts';
import type { Delivery } from './signers.ts';

/** Why a document is sent. */
export type Purpose = 'publish' | 'cut_over' | 'revert' | 'withdraw' | 'repair';

/** The part of the record that the step belongs to: its failures, and the wait after them, are counted there and nowhere else. */
export type Owner = 'rotation' | 'server' | 'signers' | Retirement;

export type Action =
  /** The rotation cannot be done. */
  | { readonly do: 'fail'; readonly why: string }
  /** The new key was not proven in time: put the old one back. */
  | { readonly do: 'turn_back'; readonly why: string }
  /** A person ended the rotation: find out which key the server takes. */
  | { readonly do: 'choose'; readonly rotation: Rotation }
  | { readonly do: 'generate'; readonly rotation: Rotation }
  | { readonly do: 'deliver'; readonly delivery: Delivery; readonly owner: Owner }
  /** Look at the server's document, so that nobody else's change is overwritten. */
  | { readonly do: 'look'; readonly owner: Owner }
  /** Write the public set where our `jwks_uri` points. */
  | { readonly do: 'serve'; readonly keys: readonly PublicJwk[]; readonly purpose: Purpose; readonly owner: Owner }
  | { readonly do: 'patch'; readonly document: KeyDocument; readonly purpose: Purpose; readonly owner: Owner }
  /** The server already holds the desired document. */
  | { readonly do: 'settle'; readonly purpose: Purpose; readonly owner: Owner }
  | { readonly do: 'prove_new'; readonly kid: string }
  /** `name`: the `kid` in the assertion. */
  | { readonly do: 'prove_old'; readonly kid: string; readonly name: string; readonly old: Retirement }
  /** `prove: read_back`: go on without a proof, and say so in the record. */
  | { readonly do: 'take_unproven'; readonly kid: string }
  | { readonly do: 'take_refused'; readonly old: Retirement }
  | { readonly do: 'destroy'; readonly old: Retirement }
  /** Read what signers report. */
  | { readonly do: 'hear' }
  /** Signers keep an old key in its overlap for too long: people should hear of it, once. */
  | { readonly do: 'tell_delay'; readonly old: Retirement; readonly why: string }
  /** A key to be kept ready, while there is nothing else to do. */
  | { readonly do: 'make_standby'; readonly alg: Algorithm }
  /** The rotation needs to make none. */
  | { readonly do: 'take_standby'; readonly rotation: Rotation; readonly kid: string }
  /** The standby key is given up: signers hand it back first. */
  | { readonly do: 'leave_standby'; readonly why: string }
  | { readonly do: 'drop_standby'; readonly kid: string }
  | Wait
  | { readonly do: 'done' };

export interface Wait {
  readonly do: 'wait';
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly why: string;
}
