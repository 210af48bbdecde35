/** What keeps keys from being delivered to Vault, found out without writing anything. */
import type { VaultSinkConfig } from '../../config/sinks/model.ts';
import { members, shortMessage } from '../../core/reply.ts';
import type { VaultApi } from '../../vault/api.ts';
import type { Session } from '../../vault/session.ts';

/** What a policy has to allow, by the path below the mount. */
const NEEDED = { data: ['create', 'read', 'update'], destroy: ['update'] } as const;

/** @throws VaultError, Error as {@link VaultApi.call}, or with what is wrong */
export async function checkVault(config: VaultSinkConfig, api: VaultApi, session: Session): Promise<void> {
  // A standby answers, too: it sends on what it is asked.
  const health = { method: 'GET', path: 'sys/health?standbyok=true&perfstandbyok=true', token: null } as const;
  const { status } = await api.call({ ...health, doing: 'about its health', expects: [501, 503] });
  if (status === 503) throw new Error('Vault is sealed: run `vault operator unseal`, or `bao operator unseal`');
  if (status === 501) throw new Error('Vault is not initialized: run `vault operator init`');
  await expectVersions(config, api, session);
  await expectRights(config, api, session);
}

/** @throws Error where the mount is no KV engine of version 2; a server that does not tell says so at the first write */
export async function expectVersions({ mount }: VaultSinkConfig, api: VaultApi, session: Session): Promise<void> {
  const path = `sys/internal/ui/mounts/${mount}`;
  const { status, body } = await session.withToken((token) =>
    api.call({ method: 'GET', path, token, doing: `looking at the mount ${mount}`, expects: [400, 403, 404] }),
  );
  if (status !== 200) return;
  const { type, options } = members(members(body).data);
  const { version } = members(options);
  if (typeof type !== 'string') throw new Error(`Vault answers 200 without a type, looking at the mount ${mount}`);
  if (type === 'kv' && version === '2') return;
  const is = type === 'kv' ? 'a KV engine of version 1' : `an engine of type ${shortMessage(type)}`;
  throw new Error(`the mount ${mount} is ${is}, and rekeyd needs a KV engine of version 2: set another mount`);
}

async function expectRights({ mount, prefix }: VaultSinkConfig, api: VaultApi, session: Session): Promise<void> {
  // Nothing is written there: it stands for the path of any client.
  const pathOf = (kind: string) => `${mount}/${kind}/${prefix}/doctor/check/rights`;
  const paths = Object.keys(NEEDED).map(pathOf);
  const call = {
    method: 'POST',
    path: 'sys/capabilities-self',
    body: { paths },
    doing: 'about the rights of rekeyd',
  } as const;
  const { body } = await session.withToken((token) => api.call({ ...call, token }));
  const { data = body } = members(body);
  const missing = Object.entries(NEEDED).flatMap(([kind, needed]) => {
    const rights: unknown = members(data)[pathOf(kind)];
    if (!Array.isArray(rights)) throw new Error('Vault does not tell the rights of rekeyd where it is asked for them');
    const lacking = rights.includes('root') ? [] : needed.filter((right) => !rights.includes(right));
    return lacking.length === 0 ? [] : [`${lacking.join(', ')} on ${mount}/${kind}/${prefix}/*`];
  });
  if (missing.length > 0) throw new Error(`the policy of rekeyd lacks ${missing.join(' and ')}: add that`);
}
