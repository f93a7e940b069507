/**
 * The certificates that doors show, the same at every node: the hub's authority, what is offered as the next one, the server's
 * certificates, and the keys of session tickets. A client trusts one authority and resumes its session at whichever node it meets.
 *
 * What is shared lies sealed in the database, and as files in each node's folder, from where the node reads it (`server/tls`).
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { HubSecrets } from '../../core/nodes/ports.ts';
import type { TlsIdentity } from '../../protocols/shared/listener.ts';
import type { ServerAuthority } from '../../protocols/shared/server-authority.ts';
import { writeFileDurably } from '../data/data-folder.ts';
import type { ServerTls } from '../tls/tls-source.ts';

const SECRET = 'server certificates';
const TICKETS = 'session tickets/';
/** Keys before their certificates: where a certificate is, its key is too. */
const NAMES = [
  ...['ca-key.pem', 'ca.pem', 'ca-next-key.pem', 'ca-next.json', 'ca-next.pem'],
  ...['server-key.pem', 'server.pem', 'server-rsa-key.pem', 'server-rsa.pem'],
];

type Files = Readonly<Record<string, string>>;

export interface SharedTlsParts {
  readonly secrets: HubSecrets;
  /** `tls` in the data folder. */
  readonly folder: string;
  readonly log: Log;
  /** Tells the other nodes that the files are others now. */
  changed(): void;
}

export interface SharedTls {
  readonly tls: ServerTls;
  /** Another node has changed the files. */
  reload(): Promise<void>;
}

/** @param open opens what is in the folder, and makes what is missing */
export async function openSharedTls(
  { secrets, folder, log, changed }: SharedTlsParts,
  open: () => Promise<ServerTls>,
): Promise<SharedTls> {
  const pull = async (): Promise<boolean> => {
    const kept = await secrets.find(SECRET);
    return kept !== undefined && write(folder, JSON.parse(kept) as Files);
  };
  const push = (): Promise<void> => secrets.replace(SECRET, JSON.stringify(read(folder)));

  const before = read(folder)['ca.pem'];
  const isReplaced = await pull();
  if (isReplaced && before !== undefined && before !== read(folder)['ca.pem']) {
    log.warn({ folder }, 'the authority of this folder was another than that of the hub, which has taken its place');
  }
  let tls = await open();
  const made = JSON.stringify(read(folder));
  const kept = await secrets.get(SECRET, made);
  const isFirst = kept === made;
  if (!isFirst && (JSON.parse(kept) as Files)['ca.pem'] !== read(folder)['ca.pem']) {
    // Another node was first, in between.
    tls.close();
    await pull();
    tls = await open();
  }
  // The certificate was renewed, or has other names: who starts next takes it.
  if (JSON.stringify(read(folder)) !== kept) await push();
  const reload = async (): Promise<void> => {
    await pull();
    await tls.reload();
  };
  return {
    tls: { ...tls, authority: tls.authority && sharedAuthority(tls.authority, { reload, push, changed }) },
    reload,
  };
}

function sharedAuthority(
  authority: ServerAuthority,
  { reload, push, changed }: { reload(): Promise<void>; push(): Promise<void>; changed(): void },
): ServerAuthority {
  const shared =
    <Answer>(change: () => Promise<Answer>) =>
    async (): Promise<Answer> => {
      await reload();
      const answer = await change();
      await push();
      changed();
      return answer;
    };
  return {
    status: () => authority.status(),
    offer: shared(() => authority.offer()),
    switchOver: shared(() => authority.switchOver()),
    withdraw: shared(() => authority.withdraw()),
  };
}

function read(folder: string): Files {
  const there = NAMES.map((name) => [name, path.join(folder, name)]).filter(([, file]) => existsSync(file));
  return Object.fromEntries(there.map(([name, file]) => [name, readFileSync(file, 'utf8')]));
}

/** @returns whether a file is another one now */
function write(folder: string, files: Files): boolean {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const before = read(folder);
  let isChanged = false;
  for (const name of NAMES) {
    const text = files[name];
    if (text === before[name]) continue;
    isChanged = true;
    if (text === undefined) rmSync(path.join(folder, name), { force: true });
    else writeFileDurably(path.join(folder, name), text);
  }
  return isChanged;
}

const TICKET_KEYS_BYTES = 48;

export interface TicketParts {
  readonly secrets: HubSecrets;
  /** The database's. */
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The same certificates, with keys of session tickets that all nodes share and that change once a day. */
export async function withSharedTickets(inner: ServerTls, parts: TicketParts): Promise<ServerTls> {
  const { secrets, clock, random, log } = parts;
  const listeners = new Set<{ readonly call: () => void }>();
  const nameNow = (): string => `${TICKETS}${Math.floor(clock.now() / limits.ticketKeysMs)}`;
  const ask = async (name: string): Promise<Buffer> =>
    Buffer.from(await secrets.get(name, random.bytes(TICKET_KEYS_BYTES).toString('base64')), 'base64');
  let name = nameNow();
  let ticketKeys = await ask(name);
  let cancel: Cancel = () => {};
  const look = async (): Promise<void> => {
    if (nameNow() === name) return;
    name = nameNow();
    ticketKeys = await ask(name);
    for (const { call } of listeners) call();
    await secrets.drop(TICKETS, name);
  };
  const plan = (): void => {
    const untilNext = limits.ticketKeysMs - (clock.now() % limits.ticketKeysMs);
    cancel = clock.after(untilNext + 1, () => {
      look()
        .catch((error: unknown) => log.warn({ error }, 'the keys of session tickets stay those of yesterday'))
        .finally(plan);
    });
  };
  plan();
  const unwatch = inner.watch(() => {
    for (const { call } of listeners) call();
  });
  return {
    ...inner,
    current: (): TlsIdentity => ({ ...inner.current(), ticketKeys }),
    watch(listener) {
      const entry = { call: listener };
      listeners.add(entry);
      return () => listeners.delete(entry);
    },
    close() {
      cancel();
      unwatch();
      inner.close();
    },
  };
}
