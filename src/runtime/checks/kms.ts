/** Whether the services that hold KEKs do what will be asked of them. */
import type { Kek, KmsKek } from '../../keys/kek.ts';
import { newDataKey } from '../../keys/kms.ts';
import { type Check, fine, looking } from './check.ts';

/** One check for each: a data key that is not used for anything is wrapped and unwrapped. */
export async function checkKms(keks: readonly Kek[]): Promise<readonly Check[]> {
  const asked = keks.filter((kek) => 'kms' in kek);
  return (await Promise.all(asked.map(checkOne))).flat();
}

/** How a check is named, for who looks for it. */
export const KMS_CHECK = 'kms ';

function checkOne({ id, kms }: KmsKek): Promise<readonly Check[]> {
  const name = `${KMS_CHECK}${id}`;
  return looking(name, 'Rotations go on by themselves when it answers.', async () => {
    await newDataKey(kms, { purpose: 'a check' });
    return fine(name, 'wraps and unwraps data keys');
  });
}
