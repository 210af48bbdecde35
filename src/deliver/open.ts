/** Opens the sinks of a config. */
import type { SinkConfig } from '../config/sinks/model.ts';
import { awsSink } from './aws/sink.ts';
import { directorySink } from './directory.ts';
import { encryptedFileSink } from './encrypted-file/sink.ts';
import { execSink } from './exec/sink.ts';
import type { DeliveringStore } from './fence.ts';
import { kubernetesSink } from './kubernetes/sink.ts';
import type { Sink } from './sink.ts';
import { vaultSink } from './vault/sink.ts';

export interface SinkTools {
  /** Null: deliveries by other stores are not looked for. */
  readonly store: DeliveringStore | null;
  /** ms since the Unix epoch */
  readonly now: () => number;
}

/** Opening one makes no call: what is wrong with it is told by its first use. */
export function openSink(config: SinkConfig, tools: SinkTools): Sink {
  switch (config.kind) {
    case 'directory':
      return directorySink(config.path, { ...config, store: tools.store });
    case 'vault':
      return vaultSink(config, tools);
    case 'kubernetes':
      return kubernetesSink(config, tools);
    case 'exec':
      return execSink(config);
    case 'encrypted_file':
      return encryptedFileSink(config, tools);
    case 'aws_secrets_manager':
      return awsSink(config, tools);
    default:
      return config satisfies never;
  }
}
