/**
 * - `folder_unreadable`: the key folder is not there, cannot be read or is damaged
 * - `no_key`: the folder holds no key to sign with
 * - `other_client`: the folder holds the keys of another client than it did, or than the caller signs in as
 * - `clock`: this machine's clock and the server's differ so much that the server refused an assertion for its times
 * - `report_failed`: the report for rekeyd could not be written
 */
export type SignerErrorCode = 'folder_unreadable' | 'no_key' | 'other_client' | 'clock' | 'report_failed';

/** What the signer raises on purpose. Match on `code`; the message is for a person and never holds key material. */
export class SignerError extends Error {
  override readonly name = 'SignerError';
  readonly code: SignerErrorCode;

  constructor(code: SignerErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
