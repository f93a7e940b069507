/** A link to a database that can fall silent and be cut. */
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';

export interface DatabaseLink {
  /** Of the database, by this link. */
  readonly url: string;
  /** Drops what comes, and ends nothing. */
  silence(): void;
  /** Ends every connection, and takes no new one. */
  cut(): void;
  mend(): void;
}

/** @param database its URL */
export async function databaseLink(database: string): Promise<DatabaseLink> {
  const { hostname, port } = new URL(database);
  const through = new Set<net.Socket>();
  let isSilent = false;
  const proxy = net.createServer((client) => {
    const server = net.connect(Number(port), hostname);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      through.add(from);
      from.on('error', () => {});
      from.on('data', (bytes) => isSilent || to.write(bytes));
      from.on('close', () => {
        through.delete(from);
        to.destroy();
      });
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const at = (proxy.address() as AddressInfo).port;
  const url = new URL(database);
  url.host = `127.0.0.1:${at}`;
  return {
    url: url.href,
    silence() {
      isSilent = true;
    },
    cut() {
      proxy.close();
      for (const socket of through) socket.destroy();
    },
    mend() {
      isSilent = false;
      proxy.listen(at, '127.0.0.1');
    },
  };
}
