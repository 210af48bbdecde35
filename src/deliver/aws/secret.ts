/** What AWS tells of a secret without its value, and the tags by which rekeyd knows its own. */
import type { Delivery } from '../../core/signers.ts';
import { kidsOf } from '../document.ts';
import { type Fence, fenceIn } from '../fence.ts';
import type { SinkContents } from '../sink.ts';
import type { Sdk } from './sdk.ts';
import { type Held, STAGES, stagesText } from './stages.ts';

const PREFIX = 'rekeyd:';

/** "~" is in no name and in no tag at AWS, and "=" in no reference. */
export const TILDE = '=7E';

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
  const of = (name: string) => tags.get(`${PREFIX}${name}`);
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
  return Object.entries(values).map(([name, Value]) => ({ Key: `${PREFIX}${name}`, Value }));
}

/** Not every kid is made of characters that a tag may have, so tags have them in base64url. */
function kidIn(value: string | undefined): string | null {
  return value === undefined || value === '' ? null : Buffer.from(value, 'base64url').toString();
}
