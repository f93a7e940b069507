/**
 * The servers of one database, of which one takes writes and the others follow it: a URL with several hosts, as libpq has them
 * (`postgres://user@one:5432,two:5432/mooring`). Connections lead to the one that takes writes, whichever that is by now
 * (libpq's `target_session_attrs=read-write`).
 */
import pg from 'pg';
import { limits } from '../../base/limits.ts';

/** The URL of each host of it, in the order given. */
export function serversOf(url: string): readonly string[] {
  const parts = /^(postgres(?:ql)?:\/\/(?:[^/]*@)?)([^/?]*)(.*)$/.exec(url);
  if (parts === null) return [url];
  const [, before, hosts, behind] = parts;
  return hosts.split(',').map((host) => `${before}${host}${behind}`);
}

interface Server {
  readonly url: string;
  readonly host: string;
  readonly port: number;
}

export class DatabaseServers {
  readonly #servers: readonly Server[];
  #known: Server | undefined;
  #looking: Promise<Server> | undefined;

  constructor(url: string) {
    this.#servers = serversOf(url).map((each) => {
      const { host, port } = new pg.Client(each);
      return { url: each, host, port };
    });
  }

  /** What the library takes: it knows one host. */
  get url(): string {
    return this.#servers[0].url;
  }

  /** A client that finds its server by itself; with one server it is `Base`. */
  client(Base: typeof pg.Client = pg.Client): typeof pg.Client {
    return this.#servers.length === 1 ? Base : findingClient(Base, this);
  }

  /** Where writes are taken, as far as is known. @throws Error that says of each server why it does not take any */
  writable(): Promise<Server> {
    if (this.#known !== undefined) return Promise.resolve(this.#known);
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** It could not be reached, or takes no writes any more: the next connection looks again. */
  forget(): void {
    this.#known = undefined;
  }

  /**
   * All are asked at once. Where two take writes, which operators must keep from being, all nodes choose the first: so an earlier one that
   * is silent is waited for, a little.
   */
  async #look(): Promise<Server> {
    const reasons: string[] = [];
    const asked = this.#servers.map(async (server) => {
      try {
        await refuseFollower(server.url);
        return server;
      } catch (error) {
        reasons.push(`${server.host}:${server.port}: ${(error as Error).message}`);
        return undefined;
      }
    });
    for (const each of asked) {
      const found = await Promise.race([each, pause()]);
      if (found !== undefined) return this.#found(found);
    }
    const late = (await Promise.all(asked)).find((server) => server !== undefined);
    if (late !== undefined) return this.#found(late);
    throw new Error(`no server of the database takes writes: ${reasons.join('; ')}`);
  }

  #found(server: Server): Server {
    this.#known = server;
    return server;
  }
}

/** How long an earlier server of the list is waited for before a later one is believed. */
const PATIENCE_MS = 500;

const pause = (): Promise<undefined> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(undefined), PATIENCE_MS).unref();
  });

const isFollower = `select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as follows`;

async function refuseFollower(url: string): Promise<void> {
  const timeoutMs = limits.postgresConnectMs;
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    application_name: 'mooring-look',
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await refuseFollowing(client);
  } finally {
    void client.end().catch(() => {});
  }
}

async function refuseFollowing(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ follows: boolean }>(isFollower);
  if (rows[0].follows) throw new Error('it follows another server, and takes no writes');
}

/** @returns a class whose `connect` goes to the server that takes writes, and makes sure that it does */
function findingClient(Base: typeof pg.Client, servers: DatabaseServers): typeof pg.Client {
  const Finding = class extends Base {
    // The pool calls it with a callback, others wait for its promise.
    override connect(...args: unknown[]): never {
      const [callback] = args as [((error?: unknown) => void)?];
      const connected = this.#reach();
      if (callback === undefined) return connected as never;
      connected.then(() => callback(), callback);
      return undefined as never;
    }

    async #reach(): Promise<void> {
      const { host, port } = await servers.writable();
      // Not yet connected: the library reads them when it is.
      Object.assign(this, { host, port });
      try {
        await super.connect();
        await refuseFollowing(this);
      } catch (error) {
        servers.forget();
        void this.end().catch(() => {});
        throw error;
      }
    }
  };
  return Finding as typeof pg.Client;
}
