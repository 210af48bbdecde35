/** What ioredis opens its sockets with. */
import { Socket } from 'node:net';
import { AbstractConnector, type RedisOptions } from 'ioredis';
import { messageOf } from '../../errors.ts';
import { monotonic, sleep } from '../../time.ts';

/**
 * Connections come back no faster than this, in ms. A server that turns every command away, or a group whose members disagree, would otherwise be asked
 * again and again without a rest.
 */
const PACE_MS = 500;

export type ConnectorClass = NonNullable<RedisOptions['Connector']>;

export interface Opener {
  /** Opens one socket; `tell` hears what is wrong meanwhile. @throws ConnectError */
  open(signal: AbortSignal, tell: (problem: Error) => void): Promise<Socket>;
  /** Whether a server with that role (`master` or `slave`) is the one that was looked for. */
  suits(role: string | undefined): boolean;
}

/**
 * Not its StandaloneConnector, see {@link ./socket.ts}; nor its SentinelConnector, whose failover detector ends a connection for good when the word of a new primary comes while it is just asking for
 * one; nor its Cluster, which resends the commands of a pipeline one by one
 * (decision note 9).
 */
export function connectorOf(opener: () => Opener): ConnectorClass {
  return class OwnConnector extends AbstractConnector {
    #left = new AbortController();
    #connectedAt = Number.NEGATIVE_INFINITY;
    readonly #opener = opener();

    constructor() {
      super(100); // ms; a server that hangs does not take part in closing
    }

    override async connect(
      emit: (type: string, error: Error) => void,
    ): ReturnType<InstanceType<ConnectorClass>['connect']> {
      this.connecting = true;
      this.#left = new AbortController();
      const { signal } = this.#left;
      await sleep(Math.max(0, this.#connectedAt + PACE_MS - monotonic()), signal);
      try {
        const stream = await this.#opener.open(signal, (problem) => emit('error', problem));
        this.#connectedAt = monotonic();
        this.stream = stream;
        return stream;
      } catch (error) {
        // ioredis ends a connection for good when this rejects. With a socket that is closed already it tries again.
        this.firstError = error instanceof Error ? error : new Error(messageOf(error));
        return new Socket().destroy();
      }
    }

    override check(info: { readonly role?: string }): boolean {
      return this.#opener.suits(info.role);
    }

    override disconnect(): void {
      this.#left.abort();
      super.disconnect();
    }
  };
}
