/**
 * Links of loopback between the parts of a cluster, each by its name, that a test cuts as a network would: what is on its way stays
 * where it is, nobody is told, and when the cut heals it goes on. Who has opened a connection is found in `/proc` (Linux).
 */
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import net from 'node:net';

interface Way {
  /** '' until it is found: a part that starts opens connections before its process is known here. */
  from: string;
  readonly to: string;
  readonly client: net.Socket;
  readonly server: net.Socket;
  isHeld: boolean;
}

export class ChaosLinks implements AsyncDisposable {
  readonly #servers: net.Server[] = [];
  readonly #ways = new Set<Way>();
  readonly #cuts: (readonly [string, string])[] = [];
  readonly #pids: () => ReadonlyMap<string, number>;

  /** @param pids of the parts that open connections, by name; asked at each connection, for parts are restarted */
  constructor(pids: () => ReadonlyMap<string, number>) {
    this.#pids = pids;
  }

  /** A door to the part: who comes to it reaches `port` of 127.0.0.1. Resolves with the door's port; `at.port` 0 = any free one. */
  async open(to: string, port: number, at: { readonly host?: string; readonly port?: number } = {}): Promise<number> {
    const server = net.createServer({ pauseOnConnect: true }, (client) => this.#join(to, port, client));
    server.listen(at.port ?? 0, at.host ?? '127.0.0.1');
    await once(server, 'listening');
    this.#servers.push(server);
    return (server.address() as net.AddressInfo).port;
  }

  /** Cuts the two parts off from each other until `heal`. */
  split(one: string, other: string): void {
    this.#findOpeners();
    this.#cuts.push([one, other]);
    for (const way of this.#ways) if (this.#isCut(way)) hold(way);
  }

  /** All cuts end. `broken`: connections that were held end, as after a long cut; else they go on. */
  heal(broken: boolean): void {
    this.#cuts.length = 0;
    for (const way of this.#ways) {
      if (!way.isHeld) continue;
      way.isHeld = false;
      if (broken) end(way);
      else join(way);
    }
  }

  /** Ends the connections of a part to another with a reset; the next ones go through. Returns how many they were. */
  reset(from: string, to: string): number {
    this.#findOpeners();
    const ways = [...this.#ways].filter((way) => way.from === from && way.to === to);
    for (const way of ways) end(way);
    return ways.length;
  }

  /** How many connections there are from one part to another. */
  count(from: string, to: string): number {
    this.#findOpeners();
    return [...this.#ways].filter((way) => way.from === from && way.to === to).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const way of this.#ways) end(way);
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #join(to: string, port: number, client: net.Socket): void {
    const server = new net.Socket();
    const way: Way = { from: this.#openerOf(client), to, client, server, isHeld: false };
    this.#ways.add(way);
    for (const socket of [client, server]) {
      socket.setNoDelay();
      socket
        .on('error', () => end(way))
        .on('close', () => {
          this.#ways.delete(way);
          end(way);
        });
    }
    server.connect({ port, host: '127.0.0.1' });
    if (this.#isCut(way)) hold(way);
    else join(way);
  }

  #findOpeners(): void {
    for (const way of this.#ways) if (way.from === '') way.from = this.#openerOf(way.client);
  }

  #isCut({ from, to }: Way): boolean {
    return this.#cuts.some(([one, other]) => (one === from && other === to) || (one === to && other === from));
  }

  /** The part whose process holds the other end of the connection; '' = none of them. */
  #openerOf({ remotePort = 0, localPort = 0 }: net.Socket): string {
    const port = (of: number): string => `:${of.toString(16).toUpperCase().padStart(4, '0')}`;
    for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
      const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
      if (!local?.endsWith(port(remotePort)) || !remote?.endsWith(port(localPort))) continue;
      for (const [name, pid] of this.#pids()) if (holds(pid, `socket:[${inode}]`)) return name;
    }
    return '';
  }
}

function hold(way: Way): void {
  way.isHeld = true;
  way.client.unpipe(way.server);
  way.server.unpipe(way.client);
  way.client.pause();
  way.server.pause();
}

function join({ client, server }: Way): void {
  client.pipe(server).pipe(client);
}

function end({ client, server }: Way): void {
  client.destroy();
  server.destroy();
}

function holds(pid: number, socket: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === socket;
      } catch {
        // Closed meanwhile.
        return false;
      }
    });
  } catch {
    // The process has ended.
    return false;
  }
}
