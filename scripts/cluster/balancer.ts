/**
 * A balancer for TCP on loopback: each new connection goes to the ready node with the fewest. It knows nothing of TLS or of what is
 * spoken; any such program does before a hub of several nodes (HAProxy, a load balancer of a cloud).
 */
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

export interface Target {
  readonly name: string;
  /** Port of each door by its name; null = not served. */
  readonly ports: Readonly<Record<string, number | null>>;
  readonly adminPort: number;
  /** Address of a door by its name; absent = 127.0.0.1. */
  readonly hosts?: Readonly<Record<string, string>>;
}

export interface BalancedDoor {
  /** A name in `Target.ports`. */
  readonly door: string;
  /** 0 = any free one. */
  readonly port: number;
}

const LOOK_MS = 250;
const LOOK_SILENCE_MS = 1500;

export class Balancer implements AsyncDisposable {
  readonly #servers = new Map<string, net.Server>();
  readonly #sockets = new Map<string, Set<net.Socket>>();
  readonly #ready = new Set<string>();
  readonly #targets: () => readonly Target[];
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(targets: () => readonly Target[]) {
    this.#targets = targets;
  }

  /** @param targets asked again for each look and connection: nodes come and go */
  static async open(doors: readonly BalancedDoor[], targets: () => readonly Target[]): Promise<Balancer> {
    const balancer = new Balancer(targets);
    for (const { door, port } of doors) {
      const server = net.createServer({ pauseOnConnect: true }, (client) => balancer.#join(door, client));
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      balancer.#servers.set(door, server);
    }
    await balancer.#look();
    return balancer;
  }

  /** The port of a door. */
  port(door: string): number {
    return (this.#servers.get(door)?.address() as net.AddressInfo).port;
  }

  isReady(name: string): boolean {
    return this.#ready.has(name);
  }

  connections(name: string): number {
    return this.#sockets.get(name)?.size ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const sockets of this.#sockets.values()) for (const socket of sockets) socket.destroy();
    await Promise.all([...this.#servers.values()].map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #join(door: string, client: net.Socket): void {
    client.on('error', () => client.destroy());
    const [target] = this.#targets()
      .filter(({ name, ports }) => this.#ready.has(name) && ports[door] !== null)
      .sort((a, b) => this.connections(a.name) - this.connections(b.name));
    if (target === undefined) return void client.destroy();
    const node = net.connect(target.ports[door] as number, target.hosts?.[door] ?? '127.0.0.1');
    const sockets = this.#sockets.get(target.name) ?? new Set();
    this.#sockets.set(target.name, sockets.add(client));
    node.on('error', () => {
      // Not waited for: the next connection goes elsewhere at once.
      this.#ready.delete(target.name);
      client.destroy();
    });
    client.on('close', () => {
      sockets.delete(client);
      node.destroy();
    });
    node.on('close', () => client.destroy());
    node.setNoDelay();
    client.setNoDelay();
    client.pipe(node).pipe(client);
  }

  async #look(): Promise<void> {
    await Promise.all(
      this.#targets().map(async ({ name, adminPort }) => {
        if (await answersReady(adminPort)) this.#ready.add(name);
        else this.#ready.delete(name);
      }),
    );
    if (!this.#isClosed) this.#timer = setTimeout(() => void this.#look(), LOOK_MS);
  }
}

function answersReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get({ port, host: '127.0.0.1', path: '/readyz', agent: false, timeout: LOOK_SILENCE_MS });
    request.on('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
