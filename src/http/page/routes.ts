/** What a page is: a route of the API's listener that answers a person with HTML, and not a program with JSON. */
import type { SafeHtml } from '@remix-run/html-template';
import type { Views } from '../../status/views.ts';
import type { Principal } from '../principal.ts';
import type { ApiContext, Sink } from '../route.ts';
import type { TokenBook } from '../tokens.ts';
import type { Live } from './live.ts';
import type { Session, SessionBook } from './session/session.ts';

/** A person who has signed in. */
export interface Visitor {
  readonly principal: Principal;
  readonly session: Session;
  /** Goes into each form as the hidden field `csrf`. */
  readonly csrf: string;
  /** Whether the token has the scope `rotate`. {@link ../principal.ts} says which clients it may act on. */
  readonly mayAct: boolean;
}

export interface PageContext extends ApiContext {
  readonly views: Views;
  readonly sessions: SessionBook;
  /** Tells open pages that something changed. */
  readonly live: Live;
  /** Of the config in force. */
  readonly tokens: Pick<TokenBook, 'find'>;
}

export interface PageCall<V extends Visitor | null = Visitor> {
  readonly context: PageContext;
  /** Null: not signed in. Only routes without a scope allow that. */
  readonly visitor: V;
  /** By the names in braces of the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Of a POST; empty for a GET. */
  readonly form: URLSearchParams;
  /** Aborts when the visitor has gone. */
  readonly signal: AbortSignal;
  /** The outcome of the last action; shown once. */
  readonly notice: string | null;
  /** Of the visitor, or of the proxy before it. */
  readonly address: string;
}

export type PageAnswer =
  /** A page: the layout is put around `body`. Its `notice` replaces that of the last action. */
  | { readonly status?: number; readonly title: string; readonly body: SafeHtml; readonly notice?: string | null }
  /** 303 to a path of ours, which shows the notice. `session`: begins with this answer; null: ends with it. */
  | { readonly to: string; readonly notice?: string; readonly session?: Session | null }
  /** Style sheet and script. */
  | { readonly file: string; readonly type: string; readonly headers?: Readonly<Record<string, string>> }
  /** Server-sent events. */
  | { readonly stream: (sink: Sink) => void };

interface PageRouteOf<V extends Visitor | null> {
  readonly method: 'GET' | 'POST';
  /** With names in braces, such as `/clients/{deployment}/{app}/{client}`. */
  readonly path: string;
  /** The scope that the token needs. Null: anyone may call it, without a session. */
  readonly scope: null extends V ? null : 'read' | 'rotate';
  /** @throws ProblemError, or a RekeydError: the visitor is shown an error page */
  handle(call: PageCall<V>): Promise<PageAnswer>;
}

export type PageRoute = PageRouteOf<Visitor> | PageRouteOf<Visitor | null>;
