/** Signatures as Standard Webhooks 1.0 has them (github.com/standard-webhooks/standard-webhooks, "Webhook metadata" and "Signature scheme"). */
import { createHmac } from 'node:crypto';

interface Message {
  /** The same for each try. Without a full stop, which separates what is signed. */
  readonly id: string;
  /** Of this try, ms since the epoch. */
  readonly at: number;
  readonly body: string;
}

/** One signature for each secret: while a secret is replaced, a receiver verifies with the old one or with the new one. */
export function signed(
  { id, at, body }: Message,
  secrets: readonly { revealBytes(): Uint8Array }[],
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(at / 1000));
  const signatures = secrets.map((secret) => {
    const key = secret.revealBytes();
    const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
    key.fill(0);
    return `v1,${signature}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}
