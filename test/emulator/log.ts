/** One request, entered when it arrives and completed when it is answered. Never holds an API key or an assertion. */
export interface LogEntry {
  /** Milliseconds since the epoch on the emulator's clock, at arrival. */
  readonly at: number;
  readonly api: 'management' | 'runtime';
  readonly method: string;
  readonly path: string;
  readonly deployment: string | null;
  /** App slug. */
  readonly app: string | null;
  /** Row id of the client. */
  readonly client: string | null;
  /** OAuth `client_id`. */
  readonly clientId: string | null;
  /** The JSON body of a management request; null when there is none, or none that parses. */
  readonly body: unknown;
  /** Null until answered; stays null when the request is stalled or its connection dropped. */
  status: number | null;
  /** When it was carried out, whatever its caller was told; absent when it was refused, or never got that far. */
  doneAt?: number;
  /** Runtime endpoints: `accepted`, or the OAuth error. */
  verdict?: string;
  /** Runtime endpoints, when refused: more than the client is told. */
  why?: string;
  /** Runtime endpoints: the `kid` that the assertion names, whatever came of it. */
  presentedKid?: string;
  /** Runtime endpoints: RFC 7638 thumbprint of the key that the signature was verified with. */
  authenticatedKid?: string;
}

/** A PATCH without members: it answers the client and changes nothing but `updated_at`. */
export function isLook({ method, body }: Pick<LogEntry, 'method' | 'body'>): boolean {
  return method === 'PATCH' && !hasMembers(body);
}

/** A PATCH with members. */
export function isChange({ method, body }: Pick<LogEntry, 'method' | 'body'>): boolean {
  return method === 'PATCH' && hasMembers(body);
}

function hasMembers(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.values(body).some((member) => member !== null);
}

export class RequestLog {
  readonly entries: LogEntry[] = [];
  readonly #limit: number;

  /** Forgets the older half whenever there are more than `limit` entries. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(entry: LogEntry): void {
    this.entries.push(entry);
    if (this.entries.length > this.#limit) this.entries.splice(0, this.entries.length >> 1);
  }
}
