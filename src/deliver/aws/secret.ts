/** What AWS tells of a secret without its value, and the tags by which rekeyd knows its own. */
import { createHash } from 'node:crypto';
import type { Delivery } from '../../core/signers.ts';
import { kidsOf } from '../document.ts';
import { type Fence, fenceIn } from '../fence.ts';
import type { SinkContents } from '../sink.ts';
import type { Sdk } from './sdk.ts';
import { type Held, STAGES, stagesText } from './stages.ts';

const PREFIX = 'rekeyd:';

/** Characters that AWS takes as the name of a secret, and as one value of a tag. */
const [LONGEST_NAME, LONGEST_VALUE] = [512, 256];

/** "~" is in no name and in no tag at AWS, and "=" in no reference. */
const TILDE = '=7E';

/** `<prefix>/<deployment>/<app-slug>/<oauth_client_id>`; a hash of the reference where that would be too long. */
export function nameOf(prefix: string, ref: string): string {
  const name = `${prefix}/${ref.replaceAll('~', TILDE)}`;
  if (name.length <= LONGEST_NAME) return name;
  return `${prefix}/long/${createHash('sha256').update(ref).digest('hex')}`;
}

export interface FoundSecret {
  /** Null: somebody else made it. */
  readonly fence: Fence | null;
  /** Null: the stages are not where the last delivery left them, or it was not finished. */
  readonly delivery: Delivery | null;
  readonly held: Held;
  /** It cannot be written before somebody restores it. */
  readonly isDeleted: boolean;
}

type Tag = Required<Sdk.Tag>;

export function secretIn({ Tags, VersionIdsToStages, DeletedDate }: Sdk.DescribeSecretResponse): FoundSecret {
  const tags = new Map((Tags ?? []).map((tag) => [tag?.Key, tag?.Value ?? '']));
  const of = (name: string) => valueIn(tags, name);
  const holders = Object.entries(VersionIdsToStages ?? {});
  const held: Held = Object.fromEntries(
    STAGES.flatMap((stage) => {
      const holder = holders.find(([, stages]) => stages?.includes(stage));
      return holder === undefined ? [] : [[stage, holder[0]]];
    }),
  );
  const isAsLeft = of('stages') === stagesText(held);
  return {
    fence: fenceIn({
      client: of('client')?.replaceAll(TILDE, '~'),
      epoch: Number(of('epoch')),
      store: of('store') || null,
    }),
    delivery: isAsLeft
      ? { current: kidIn(of('current')), next: kidIn(of('next')), previous: kidIn(of('previous')) }
      : null,
    held,
    isDeleted: DeletedDate !== undefined,
  };
}

/** Before anything changes. */
export function fenceTags({ client, epoch, store }: Fence): Tag[] {
  return tagsOf({ client: client.replaceAll('~', TILDE), epoch: String(epoch), store: store ?? '' });
}

/** After all is done. */
export function doneTags(contents: SinkContents, held: Held): Tag[] {
  const kids = Object.entries(kidsOf(contents)).map(([role, kid]) => [
    role,
    kid === null ? '' : Buffer.from(kid).toString('base64url'),
  ]);
  return tagsOf({ ...Object.fromEntries(kids), stages: stagesText(held) });
}

function tagsOf(values: Readonly<Record<string, string>>): Tag[] {
  return Object.entries(values).flatMap(([name, value]) =>
    partsOf(value).map((Value, index) => ({ Key: keyOf(name, index), Value })),
  );
}

/** `rekeyd:client`, and for what does not fit into one tag `rekeyd:client.2` and so on. */
function keyOf(name: string, index: number): string {
  return `${PREFIX}${name}${index === 0 ? '' : `.${index + 1}`}`;
}

/** After a full tag comes another one, and if it is empty: so what an earlier and longer value has left in further tags is not read. */
function partsOf(value: string): readonly string[] {
  const count = Math.floor(value.length / LONGEST_VALUE) + 1;
  return Array.from({ length: count }, (_, index) => value.slice(index * LONGEST_VALUE, (index + 1) * LONGEST_VALUE));
}

function valueIn(tags: ReadonlyMap<string | undefined, string>, name: string): string | undefined {
  let value = tags.get(keyOf(name, 0));
  let part = value;
  for (let index = 1; part?.length === LONGEST_VALUE; index += 1) {
    part = tags.get(keyOf(name, index)) ?? '';
    value += part;
  }
  return value;
}

/** Not every kid is made of characters that a tag may have, so tags have them in base64url. */
function kidIn(value: string | undefined): string | null {
  return value === undefined || value === '' ? null : Buffer.from(value, 'base64url').toString();
}
