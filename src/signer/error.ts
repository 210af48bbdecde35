/**
 * - `folder_unreadable`: the key folder is not there, cannot be read or is damaged
 * - `no_key`: the folder holds no key to sign with
 */
export type SignerErrorCode = 'folder_unreadable' | 'no_key';

/** What the signer raises on purpose. Match on `code`; the message is for a person and never holds key material. */
export class SignerError extends Error {
  override readonly name = 'SignerError';
  readonly code: SignerErrorCode;

  constructor(code: SignerErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
