import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import type { Endpoints } from '../../src/api/endpoints.ts';
import type { BackEndPlace } from '../load/back-end.ts';
import type { PublisherLogin } from '../load/publisher.ts';
import { type RunningServer, type ServerKind, type ServerOptions, startProgram, stopProgram } from './server.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const API_VERSION = '2021-04-12';
const BULK_ITEMS = 100;

export interface RunningHub extends RunningServer {
  readonly endpoints: Endpoints;
  readonly logins: readonly HubLogin[];
  /** PEM of the hub's own authority, whether the load goes over TLS or not. */
  readonly caText: string;
}

/** A device's way in, and its key in base64. */
export interface HubLogin extends PublisherLogin {
  readonly key: string;
}

export interface HubOptions extends ServerOptions {
  /** Absent = the hub's default. */
  readonly partitions?: number;
  /** The checkout to run; absent = this one. */
  readonly checkout?: string;
  /** Settings beside the ports. */
  readonly flags?: readonly string[];
  /** Where its inspector listens on the loopback address; absent = it has none. */
  readonly inspectorPort?: number;
  /** Called as soon as it says that it is ready. */
  readonly ready?: (pid: number) => void;
  /** Absent = that of the bench, without settings of the hub. */
  readonly environment?: NodeJS.ProcessEnv;
  /** What is started, below the checkout; absent = its source. */
  readonly program?: string;
}

/** The hub of a checkout with these settings; every other one is on its default but the ports. */
export function hubAt(name: string, checkout: string, settings: readonly string[]): ServerKind {
  return {
    name,
    acknowledges: 'after fdatasync',
    start: (options) => startHub({ ...options, checkout, flags: settings }),
  };
}

/** This checkout's hub, every setting on its default but the ports. */
export const hub: ServerKind = hubAt('mooring', root, []);

export async function startHub(options: HubOptions): Promise<RunningHub> {
  const { connections, tls, directory, bag, partitions, checkout = root } = options;
  const dataDir = path.join(directory, 'data');
  const flags = ['--mqtt-port', tls ? 'off' : '0', '--mqtts-port', '0', '--https-port', '0', '--amqps-port', '0'];
  if (partitions !== undefined) flags.push('--partitions', String(partitions));
  flags.push(...(options.flags ?? []));
  const { child } = await startProgram(
    process.execPath,
    [
      ...(options.inspectorPort === undefined ? [] : [`--inspect=127.0.0.1:${options.inspectorPort}`]),
      path.join(checkout, options.program ?? 'src/main.ts'),
      'serve',
      '--data-dir',
      dataDir,
      ...flags,
      '--amqp-port',
      '0',
      '--admin-port',
      '0',
    ],
    /^ready\b/m,
    30_000,
    options.environment,
  );
  options.ready?.(child.pid as number);
  try {
    const endpoints = JSON.parse(readFileSync(path.join(dataDir, 'endpoints.json'), 'utf8')) as Endpoints;
    const ca = readFileSync(endpoints.caFile, 'utf8');
    const logins = await createDevices(endpoints, ca, connections, bag);
    const port = tls ? endpoints.ports.mqtts : endpoints.ports.mqtt;
    if (port === null) throw new Error(`endpoints.json has no ${tls ? 'mqtts' : 'mqtt'} port`);
    return {
      pid: child.pid as number,
      host: '127.0.0.1',
      port,
      ca: tls ? ca : undefined,
      logins,
      endpoints,
      caText: ca,
      stop: () => stopProgram(child),
    };
  } catch (error) {
    await stopProgram(child);
    throw error;
  }
}

/** Registers the devices with keys made here, and signs a token for each. */
export async function createDevices(
  endpoints: Endpoints,
  ca: string,
  count: number,
  bag: string,
): Promise<readonly HubLogin[]> {
  const { HostName } = connectionFields(endpoints.connectionStrings.iothubowner);
  const authorization = ownerToken(endpoints);
  const devices = Array.from({ length: count }, (_, at) => ({ id: `bench-${at}`, key: randomBytes(32) }));
  for (let at = 0; at < count; at += BULK_ITEMS) {
    const items = devices.slice(at, at + BULK_ITEMS).map(({ id, key }) => ({
      id,
      importMode: 'create',
      status: 'enabled',
      authentication: {
        type: 'sas',
        symmetricKey: { primaryKey: key.toString('base64'), secondaryKey: key.toString('base64') },
      },
    }));
    await postBulk(endpoints.ports.https as number, ca, authorization, JSON.stringify(items));
  }
  return devices.map(({ id, key }) => ({
    clientId: id,
    username: `${HostName}/${id}/?api-version=${API_VERSION}`,
    password: token(`${HostName}/devices/${id}`, key.toString('base64')),
    topic: `devices/${id}/messages/events/${bag}`,
    key: key.toString('base64'),
  }));
}

/** Creates consumer groups of the telemetry event hub. */
export async function createConsumerGroups(hub: RunningHub, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await callHub(hub, 'PUT', `/mooring/v1/event-hubs/${hub.endpoints.hubName}/consumer-groups/${name}`, '{}');
  }
}

/** A request with the policy that may do all. Resolves with the answer's body. @throws Error for another status than 200 and 201 */
export function callHub(hub: RunningHub, method: string, address: string, body: string): Promise<string> {
  return send(hub.endpoints.ports.https as number, hub.caText, ownerToken(hub.endpoints), method, address, body);
}

export function ownerToken({ connectionStrings }: Endpoints): string {
  const { HostName, SharedAccessKeyName, SharedAccessKey } = connectionFields(connectionStrings.iothubowner);
  return token(HostName, SharedAccessKey, SharedAccessKeyName);
}

/** Where a back end connects that may send commands and read receipts. */
export function backEndPlace(hub: RunningHub): BackEndPlace {
  const { HostName, SharedAccessKeyName, SharedAccessKey } = connectionFields(hub.endpoints.connectionStrings.service);
  return {
    port: hub.endpoints.ports.amqp as number,
    username: `${SharedAccessKeyName}@sas.root.${HostName.split('.')[0]}`,
    password: token(HostName, SharedAccessKey, SharedAccessKeyName),
  };
}

const postBulk = (port: number, ca: string, authorization: string, body: string): Promise<string> =>
  send(port, ca, authorization, 'POST', `/devices?api-version=${API_VERSION}`, body);

function send(
  port: number,
  ca: string,
  authorization: string,
  method: string,
  address: string,
  body: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = https.request(
      {
        host: 'localhost',
        port,
        ca,
        method,
        path: address,
        headers: { authorization, 'content-type': 'application/json; charset=utf-8' },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => {
          if (response.statusCode === 200 || response.statusCode === 201) resolve(text);
          else reject(new Error(`${method} ${address}: ${response.statusCode} ${text.slice(0, 300)}`));
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** A SAS token that is good for an hour (device reference 1.5); `key` in base64. */
export function token(resource: string, key: string, policy?: string): string {
  const sr = encodeURIComponent(resource);
  const expires = Math.floor(Date.now() / 1000) + 3600;
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${expires}`).digest('base64');
  const named = policy === undefined ? '' : `&skn=${policy}`;
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(signature)}&se=${expires}${named}`;
}

/** `Key=Value;...`, split at the first `=` of each pair: keys end in `=`. */
export function connectionFields(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(';').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}
