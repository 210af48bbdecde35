/** As much of AWS Secrets Manager and of AWS KMS as the adapters ask for, so that a later call can be lied to. How AWS itself behaves is told by Moto, in test/deliver/aws. */
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listening } from '../support/listening.ts';

interface StoredSecret {
  readonly tags: Map<string, string>;
  /** Version id → value. */
  readonly values: Map<string, string>;
  /** Stage → version id. */
  readonly stages: Map<string, string>;
}

interface Asked {
  readonly Name: string;
  readonly SecretId: string;
  readonly ClientRequestToken: string;
  readonly SecretString: string;
  readonly Tags: readonly { readonly Key: string; readonly Value: string }[];
  readonly VersionStage: string;
  readonly RemoveFromVersionId?: string;
  readonly MoveToVersionId?: string;
  /** Base64. */
  readonly Plaintext: string;
  readonly CiphertextBlob: string;
}

export interface Aws {
  readonly url: string;
  /** The values of a secret by stage. */
  stagesOf(name: string): Readonly<Record<string, string | undefined>>;
}

class Refused extends Error {}

export async function startAws(): Promise<Aws> {
  const secrets = new Map<string, StoredSecret>();

  function secretOf({ SecretId }: Asked): StoredSecret {
    const secret = secrets.get(SecretId);
    if (secret === undefined) throw new Refused('ResourceNotFoundException');
    return secret;
  }

  const operations: Readonly<Record<string, (asked: Asked) => object>> = {
    CreateSecret({ Name, ClientRequestToken: id, SecretString, Tags }) {
      if (secrets.has(Name)) throw new Refused('ResourceExistsException');
      const tags = new Map(Tags.map(({ Key, Value }) => [Key, Value]));
      secrets.set(Name, { tags, values: new Map([[id, SecretString]]), stages: new Map([['AWSCURRENT', id]]) });
      return { Name };
    },
    DescribeSecret(asked) {
      const { tags, stages } = secretOf(asked);
      const versions = Map.groupBy(stages, ([, id]) => id);
      return {
        Name: asked.SecretId,
        Tags: [...tags].map(([Key, Value]) => ({ Key, Value })),
        VersionIdsToStages: Object.fromEntries([...versions].map(([id, held]) => [id, held.map(([stage]) => stage)])),
      };
    },
    TagResource(asked) {
      const { tags } = secretOf(asked);
      for (const { Key, Value } of asked.Tags) tags.set(Key, Value);
      return {};
    },
    PutSecretValue(asked) {
      const { values, stages } = secretOf(asked);
      values.set(asked.ClientRequestToken, asked.SecretString);
      stages.set('AWSPENDING', asked.ClientRequestToken);
      return {};
    },
    UpdateSecretVersionStage(asked) {
      const { stages, values } = secretOf(asked);
      const { VersionStage: stage, RemoveFromVersionId: from, MoveToVersionId: to } = asked;
      if (stages.get(stage) !== from) throw new Refused('InvalidParameterException');
      if (to !== undefined && !values.has(to)) throw new Refused('ResourceNotFoundException');
      if (to === undefined) stages.delete(stage);
      else stages.set(stage, to);
      if (stage === 'AWSCURRENT' && from !== undefined) stages.set('AWSPREVIOUS', from);
      return {};
    },
    Encrypt: ({ Plaintext }) => ({ CiphertextBlob: turned(Plaintext) }),
    Decrypt: ({ CiphertextBlob }) => ({ Plaintext: turned(CiphertextBlob) }),
  };

  const server = createServer(async (request, response) => {
    // Such as `secretsmanager.PutSecretValue`.
    const operation = operations[String(request.headers['x-amz-target']).replace(/^.*\./, '')];
    // A port that was another server's is asked for by those who look for that one.
    if (operation === undefined) return void response.writeHead(404).end();
    const asked: Asked = JSON.parse(String(await buffer(request)));
    const answer = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
    try {
      answer(200, operation(asked));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      answer(400, { __type: error.message, message: 'as asked' });
    }
  });
  return {
    url: `http://127.0.0.1:${await listening(server)}`,
    stagesOf(name) {
      const { stages, values } = secrets.get(name) ?? { stages: [], values: new Map<string, string>() };
      return Object.fromEntries([...stages].map(([stage, id]) => [stage, values.get(id)]));
    },
  };
}

/** Base64 of the same bytes in the other order. */
function turned(bytes: string): string {
  return Buffer.from(bytes, 'base64').reverse().toString('base64');
}
