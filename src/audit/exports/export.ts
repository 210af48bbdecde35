/** Where audit entries are exported to. */

/** An entry as it leaves: one line of JSON, with its place in the hash chain. */
export interface ExportLine {
  readonly seq: number;
  /** RFC 3339. */
  readonly time: string;
  readonly type: string;
  /** Without a line end. */
  readonly text: string;
}

/** Entries in order, without gaps. One that is sent again is the same, to the byte. */
export type Batch = readonly [ExportLine, ...ExportLine[]];

interface Named {
  /** In messages and metrics. */
  readonly name: string;
  /** In the store. */
  readonly id: string;
}

/** Takes entries one batch after the other, each at least once. */
export interface StreamExport extends Named {
  readonly kind: 'stream';
  /** Resolves when the receiver has them. @throws Error with what is wrong, for a person */
  send(batch: Batch, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Files that several workers may write, each entry once. */
export interface FolderExport extends Named {
  readonly kind: 'folder';
  /**
   * Writes the entries up to number `upTo` that the folder does not hold.
   * @param place as it was answered the last time; null: never
   * @returns the number of the last entry in the folder, and what the folder is recognised by
   * @throws RekeydError `export_failed`, `usage`
   */
  write(upTo: number, place: string | null): Promise<{ readonly last: number; readonly place: string }>;
}

export type AuditExport = StreamExport | FolderExport;
