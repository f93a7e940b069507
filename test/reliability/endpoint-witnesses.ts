/** Endpoints of a test's own that note what comes to them, and in which order: a webhook, and a table of PostgreSQL. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type pg from 'pg';

/** An event as an endpoint got it: its place in the log, whose it is, and the number that its sender gave it. */
export interface Arrival {
  readonly partition: number;
  readonly sequence: number;
  readonly deviceId: string;
  readonly n: number;
}

export interface WebhookWitness extends AsyncDisposable {
  readonly url: string;
  /** In order; one list for each life of the hub. */
  readonly lives: Arrival[][];
  /** Events from here on belong to the next life. */
  nextLife(): void;
  /** Requests that were refused on purpose. */
  readonly refused: () => number;
}

interface CloudEvent {
  readonly id: string;
  readonly data: {
    readonly properties: Readonly<Record<string, string>>;
    readonly systemProperties: Readonly<Record<string, string>>;
  };
}

/** @param chance from 0 to 1. One request in twenty is answered 503, and nothing of it is taken */
export async function startWebhookWitness(chance: () => number): Promise<WebhookWitness> {
  const lives: Arrival[][] = [[]];
  let refused = 0;
  const server = http.createServer(async (request, response) => {
    const life = lives.at(-1) as Arrival[];
    try {
      let text = '';
      for await (const chunk of request) text += chunk;
      if (request.method === 'OPTIONS') return response.setHeader('WebHook-Allowed-Origin', '*').end();
      if (chance() < 0.05) {
        refused++;
        return response.writeHead(503).end();
      }
      life.push(...(JSON.parse(text) as CloudEvent[]).map(arrivalOf));
      response.writeHead(204).end();
    } catch {
      // The hub was killed while it was sending: nothing of it counts.
      response.destroy();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`,
    lives,
    nextLife: () => void lives.push([]),
    refused: () => refused,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function arrivalOf({ id, data }: CloudEvent): Arrival {
  const [partition, sequence] = id.split('-').map(Number);
  const deviceId = data.systemProperties['iothub-connection-device-id'] ?? '';
  return { partition, sequence, deviceId, n: Number(data.properties.n) };
}

/** A table as an endpoint makes it, with a column that numbers its rows as they come. @param name a plain word */
export async function makeTableWitness(client: pg.Client, name: string): Promise<void> {
  await client.query(`create table ${name} (
    hub text not null, partition integer not null, sequence bigint not null, enqueued_time timestamptz not null,
    source text not null, device_id text, module_id text, message_id text, content_type text, content_encoding text,
    properties jsonb not null, body jsonb, body_bytes bytea, arrival bigserial,
    primary key (hub, partition, sequence, enqueued_time))`);
}

/** The rows in the order in which they came. */
export async function rowsOf(client: pg.Client, name: string): Promise<readonly Arrival[]> {
  const { rows } = await client.query(
    `select partition, sequence::float8 as sequence, device_id as "deviceId", (properties->>'n')::int as n from ${name} order by arrival`,
  );
  return rows;
}
