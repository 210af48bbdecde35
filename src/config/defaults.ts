/** Defaults that the rules or `rekeyd health` know as well: both look at the file before any default is filled in. */

export const DATA_DIR = './data';

export const LISTEN = '127.0.0.1:8080';

export const ROTATE_EVERY = '30d';

/** How the names of secrets begin in sinks that are reached over the network. */
export const SINK_PREFIX = 'rekeyd';

/** Where the KV engine of Vault is mounted. */
export const VAULT_MOUNT = 'secret';

/** The API of the cluster that a pod runs in. */
export const KUBERNETES_URL = 'https://kubernetes.default.svc';
