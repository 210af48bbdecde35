/**
 * A group of servers as one plain connection, to the primary that holds our keys. Sentinels know who that is; on a Redis Cluster it is the node
 * with the one slot that all our keys are in. Asked anew with every connection, since a failover ends those to the old primary.
 */
import { createConnection } from 'node:net';
import { AbstractConnector, type RedisOptions } from 'ioredis';
import { messageOf } from '../../errors.ts';
import { monotonic, sleep } from '../../time.ts';
import { askForPrimary } from './group.ts';
import type { NodeAddress, ServerGroup } from './target.ts';

/** A group whose members disagree does so for seconds; connections that find that out come back no faster than this. */
const PACE_MS = 500;

type ConnectorClass = NonNullable<RedisOptions['Connector']>;

/**
 * What ioredis opens its sockets with. Not its own SentinelConnector, whose failover detector ends a connection for good when the word of a new
 * primary comes while it is just asking for one; nor its Cluster, which resends the commands of a pipeline one by one (decision note 9).
 */
export function primaryConnector(group: ServerGroup): ConnectorClass {
  return class PrimaryConnector extends AbstractConnector {
    #left = new AbortController();
    #connectedAt = Number.NEGATIVE_INFINITY;
    /** Nodes take turns at being asked, so that one with an old view cannot keep us. */
    #turn = 0;
    /** The last problem of each node; none once a node has named the primary. */
    readonly #problems = new Map<NodeAddress, string>();

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
      // ioredis ends a connection for good when this rejects, so it goes on until nobody wants it any longer.
      while (!signal.aborted) {
        const node = this.#next();
        try {
          const primary = await askForPrimary(node, group);
          if (signal.aborted) break;
          this.#problems.clear();
          this.#connectedAt = monotonic();
          const stream = createConnection({ ...primary });
          stream.once('error', (error) => {
            this.firstError = error;
          });
          this.stream = stream;
          return stream;
        } catch (error) {
          // One node alone may not show what is wrong: that it is down, or that the cluster lacks a part without it.
          this.#problems.set(node, messageOf(error));
          emit('error', new Error([...this.#problems.values()].join('; ')));
          if (this.#turn % group.nodes.length === 0) await sleep(PACE_MS, signal);
        }
      }
      throw new Error('Connection is closed.');
    }

    /** A server that was demoted in between is not the one. */
    override check(info: { readonly role?: string }): boolean {
      return info.role !== 'slave';
    }

    override disconnect(): void {
      this.#left.abort();
      super.disconnect();
    }

    #next(): NodeAddress {
      const node = group.nodes[this.#turn % group.nodes.length];
      if (node === undefined) throw new TypeError('a group without nodes');
      this.#turn += 1;
      return node;
    }
  };
}
