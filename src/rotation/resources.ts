/** What rotations, jobs and commands work with. `runtime/resources.ts` opens it as the config says. */
import type { Config, DeploymentConfig } from '../config/model.ts';
import type { ClientRef } from '../core/client.ts';
import type { Trace } from '../core/trace.ts';
import type { Sink } from '../deliver/sink.ts';
import type { GenerateKey } from '../keys/generator.ts';
import type { PublicFolder } from '../publish/folder.ts';
import type { Guard } from '../store/guard.ts';
import type { RedisTarget } from '../store/redis/target.ts';
import type { Store } from '../store/store.ts';
import type { Clock } from '../time.ts';
import type { WachtClient } from '../wacht/client.ts';
import type { Lists } from '../wacht/lists.ts';
import type { Looks } from '../wacht/looks.ts';
import type { ObservedApp } from '../wacht/observed.ts';
import type { Prover } from '../wacht/proof.ts';
import type { Facts } from './facts.ts';
import type { Issuers } from './issuers.ts';

/** The part of a logger that is used here. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface DeploymentResources {
  readonly config: DeploymentConfig;
  readonly wacht: WachtClient;
  readonly lists: Lists;
  readonly looks: Looks;
  readonly issuers: Issuers;
  /** The apps of the deployment: a read that costs little. @throws ApiError */
  listApps(): Promise<readonly ObservedApp[]>;
  /** Takes a call from the budget without waiting for it: for one that has to be made now. */
  countCall(): Promise<void>;
  /** Resolves when the API answers a read. Calls at the same time share one read, and none waits long for an API that hangs. @throws ApiError */
  reachable(): Promise<void>;
  proverOf(app: string): Prover;
  /** By app: when its issuer last answered a proof, in ms of the monotonic clock. */
  readonly answered: Map<string, number>;
}

export interface Tracing {
  readonly trace: Trace;
  /** For BullMQ; null: nothing is traced. */
  readonly queues: object | null;
}

export interface Resources {
  readonly config: Config;
  readonly log: Log;
  readonly clock: Clock;
  readonly redis: RedisTarget;
  readonly store: Store;
  readonly guard: Guard;
  readonly facts: Facts;
  readonly generateKey: GenerateKey;
  readonly tracing: Tracing;
  readonly sinks: readonly Sink[];
  readonly folder: PublicFolder | null;
  readonly deployments: ReadonlyMap<string, DeploymentResources>;
  deploymentOf(ref: ClientRef): DeploymentResources;
  close(): Promise<void>;
}
