/**
 * Who looks at the portal. The key that a user pastes goes to the hub once, and is kept nowhere. A session has two halves: a cookie,
 * which no script reads, and a token that the page shows with each request; the browser keeps that for other tabs.
 */
import { answeringNode, ask, onSessionLost, Refusal, setCsrf } from './api.ts';
import { keep, kept } from './preferences.ts';
import { createStore, useStore } from './store.ts';
import { restartStream } from './stream.ts';

export type Permission = 'RegistryRead' | 'RegistryWrite' | 'ServiceConnect' | 'DeviceConnect';

export interface Session {
  readonly policyName: string;
  readonly permissions: readonly Permission[];
  readonly hubName: string;
  /** The name that devices use. */
  readonly hostName: string;
  readonly ports: Readonly<Record<'mqtts' | 'amqps' | 'https', number | null>>;
  readonly version: string;
}

const TOKEN = 'session-token';
const NODE = 'session-node';

export type SessionState =
  | { readonly kind: 'loading' }
  /** `why`: what a user should know before logging in again. */
  | { readonly kind: 'none'; readonly why?: string }
  | { readonly kind: 'open'; readonly session: Session };

export const sessionState = createStore<SessionState>({ kind: 'loading' });

export function useSession(): Session {
  const state = useStore(sessionState);
  if (state.kind !== 'open') throw new Error('A screen is shown without a session.');
  return state.session;
}

export const useMay = (permission: Permission): boolean => useSession().permissions.includes(permission);

/** Follows what ends the session, or begins another one, elsewhere. */
export function watchSession(): void {
  onSessionLost((node) => end(lostWords(node)));
  // Another tab has logged in or out.
  addEventListener('storage', ({ key, newValue }) => {
    if (key !== `mooring.${TOKEN}`) return;
    if (newValue === null || newValue === '""') end('You have logged out in another tab.');
    else void startSession();
  });
}

/** Takes the code of a one-time link out of the address, or the session that the browser has. */
export async function startSession(): Promise<void> {
  const code = /^#code=([^&]+)/.exec(location.hash)?.[1];
  if (code !== undefined) history.replaceState(null, '', location.pathname + location.search);
  try {
    if (code !== undefined) return await open({ code: decodeURIComponent(code) });
    const token = kept(TOKEN, '');
    setCsrf(token);
    // Without its half there is nothing to ask for.
    if (token === '') return sessionState.set({ kind: 'none' });
    sessionState.set({ kind: 'open', session: (await ask<Session>('GET', '/portal/session')).data });
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 401)
      return sessionState.set({ kind: 'none', why: (error as Error).message });
    end(code !== undefined ? USED : isOther(answeringNode()) ? lostWords(answeringNode()) : undefined);
  }
}

/** Whether that node is not the one that the session was opened at. */
function isOther(node: string | undefined): boolean {
  const own = kept(NODE, '');
  return node !== undefined && own !== '' && node !== own;
}

const lostWords = (node: string | undefined): string =>
  isOther(node)
    ? `The node ${node} of the hub has answered, and you have logged in at the node ${kept(NODE, '')}: sessions are of one node. ` +
      'Open the portal at the address of a node, or let the balancer send each browser to one node always. You can log in here, too.'
    : 'Your session has ended. Log in again to go on where you are.';

const USED =
  'This link has been used or is too old. Make a new one with "mooring portal", or paste the connection string of a policy.';

/** @throws Refusal */
export const logIn = (connectionString: string): Promise<void> => open({ connectionString });

async function open(login: object): Promise<void> {
  setCsrf('');
  const { csrf, ...session } = (await ask<Session & { csrf: string }>('POST', '/portal/session', { body: login })).data;
  keep(TOKEN, csrf);
  keep(NODE, answeringNode() ?? '');
  setCsrf(csrf);
  sessionState.set({ kind: 'open', session });
  restartStream();
}

function end(why: string | undefined): void {
  keep(TOKEN, '');
  setCsrf('');
  sessionState.set({ kind: 'none', ...(why !== undefined && { why }) });
}

export async function logOut(): Promise<void> {
  await ask('DELETE', '/portal/session').catch(() => {});
  end('You have logged out.');
}
