/** What ioredis opens its sockets with. */
import { Socket } from 'node:net';
import { AbstractConnector, type RedisOptions } from 'ioredis';
import { messageOf } from '../../errors.ts';
import { monotonic, sleep } from '../../time.ts';
import { ConnectError } from './socket.ts';

/**
 * Connections come back no faster than this, in ms. A server that turns every command away, or a group with members that disagree, would otherwise be asked
 * again and again without a rest.
 */
const PACE_MS = 500;

/** Before another try, in ms, doubled with each that fails up to the longest. */
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2_000;

export type ConnectorClass = NonNullable<RedisOptions['Connector']>;

export interface Opener {
  /** Opens one socket; `tell` hears what is wrong meanwhile. @throws ConnectError */
  open(signal: AbortSignal, tell: (problem: Error) => void): Promise<Socket>;
  /** Whether a server with that role (`master` or `slave`) is the one that was looked for. */
  suits(role: string | undefined): boolean;
}

const NEVER = new AbortController().signal;

/**
 * In the place of ioredis's own classes. Its StandaloneConnector lacks what {@link ./socket.ts} does. The failover detector of its SentinelConnector ends a
 * connection for good when it hears of a new primary while it asks for one. Its Cluster resends the commands of a pipeline one by one (decision note 9).
 * @param ended see {@link ./target.ts#RedisTarget}
 */
export function connectorOf(opener: () => Opener, ended: AbortSignal = NEVER): ConnectorClass {
  return class OwnConnector extends AbstractConnector {
    #left = new AbortController();
    #connectedAt = Number.NEGATIVE_INFINITY;
    /** In a row. */
    #failures = 0;
    readonly #opener = opener();

    constructor() {
      super(100); // ms; a server that hangs does not take part in closing
    }

    override async connect(
      emit: (type: string, error: Error) => void,
    ): ReturnType<InstanceType<ConnectorClass>['connect']> {
      this.connecting = true;
      this.#left = new AbortController();
      const left = this.#left.signal;
      const signal = AbortSignal.any([left, ended]);
      await sleep(this.#restMs(), signal);
      try {
        const stream = await this.#opener.open(signal, (problem) => emit('error', problem));
        this.#connectedAt = monotonic();
        this.#failures = 0;
        this.stream = stream;
        const end = () => void stream.destroy();
        ended.addEventListener('abort', end, { once: true });
        stream.once('close', () => ended.removeEventListener('abort', end));
        return stream;
      } catch (error) {
        // ioredis ends a connection for good when this rejects. With a socket that is closed already it tries again, unless it was told to end.
        if (ended.aborted) throw new ConnectError('away', 'Connection is closed.');
        this.#failures += 1;
        if (!left.aborted) this.firstError = error instanceof Error ? error : new Error(messageOf(error));
        return new Socket().destroy();
      }
    }

    #restMs(): number {
      const retry = this.#failures === 0 ? 0 : Math.min(FIRST_WAIT_MS * 2 ** (this.#failures - 1), LONGEST_WAIT_MS);
      return Math.max(retry, this.#connectedAt + PACE_MS - monotonic());
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
