/** A place that private keys are handed to. */
import { z } from 'zod';
import { BELOW } from '../fields.ts';
import type { Sources } from '../secrets.ts';
import { awsSink } from './aws.ts';
import { directorySink } from './directory.ts';
import { encryptedFileSink } from './encrypted-file.ts';
import { execSink } from './exec.ts';
import { kubernetesSink } from './kubernetes.ts';
import { vaultSink } from './vault.ts';

const KINDS = ['directory', 'vault', 'kubernetes', 'exec', 'encrypted_file', 'aws_secrets_manager'] as const;

export function sink(sources: Sources) {
  return z.discriminatedUnion(
    'kind',
    [
      directorySink(sources),
      vaultSink(sources),
      kubernetesSink(sources),
      execSink(),
      encryptedFileSink(sources),
      awsSink(sources),
    ],
    {
      error: (issue) =>
        issue.code === 'invalid_union'
          ? `is not one of the choices: write ${KINDS.join(', ')}`
          : `is not a section: write ${BELOW}`,
    },
  );
}
