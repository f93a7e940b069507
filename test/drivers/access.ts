/** Every kind of caller, for the access matrix: one hub behind all of its doors, and every kind of identity. */
import https from 'node:https';
import { signSas } from '../../src/api/sas.ts';
import type { Operation } from '../../src/core/identity/operations.ts';
import type { Recorder } from '../../src/core/monitoring/types.ts';
import { openAmqpDoor } from '../../src/protocols/amqp/server.ts';
import { openMqttDoor } from '../../src/protocols/mqtt/server.ts';
import type { Door } from '../../src/protocols/shared/door.ts';
import { makeAuthorityCertificate, makeCertificate, type TestCertificate } from './certificates.ts';
import { type HttpHub, openHttpHub } from './http.ts';
import { registerDevice } from './http-device.ts';

const policyNames = ['iothubowner', 'service', 'device', 'registryRead', 'registryReadWrite'] as const;

export const callerNames = [
  'd1',
  'd2',
  'd1/m1',
  'disabled',
  'certificate',
  ...policyNames,
  'service for d1',
  'service for testhub',
  'expired',
  'expired d1',
  'wrong hub',
  'none',
] as const;
export type CallerName = (typeof callerNames)[number];

export interface Caller {
  readonly name: CallerName;
  readonly token?: string;
  /** The name under which it is put over AMQP; absent = the host. */
  readonly audience?: string;
  readonly certificate?: TestCertificate;
}

/** A hub with the devices `d1` (and its module `m1`), `d2`, `off` (disabled) and `x1` (by certificate). */
export interface AccessScene extends AsyncDisposable {
  readonly http: HttpHub;
  readonly mqtt: Door;
  readonly amqp: Door;
  readonly callers: readonly Caller[];
  /** Operations that were refused for want of a right, as the monitoring stream was told. */
  readonly refused: Operation[];
  /** Status of one request. */
  ask(caller: Caller, method: string, path: string, body?: unknown, more?: RequestMore): Promise<number>;
}

export interface RequestMore {
  /** Beside the version. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function openAccessScene(): Promise<AccessScene> {
  const refused: Operation[] = [];
  const recorder: Recorder = {
    record(report) {
      if (report.type !== 'operationRefused') return;
      const isRight = report.reason === 'missing-permission' || report.reason === 'expired-token';
      if (isRight) refused.push(report.operation as Operation);
    },
  };
  const http = await openHttpHub({ recorder });
  const door = { port: 0, addresses: ['127.0.0.1'], tls: http.tls };
  const mqtt = await openMqttDoor(http.hub, { ...door, name: 'mqttsPort' });
  const amqp = await openAmqpDoor(http.hub, { ...door, name: 'amqpsPort' });
  const now = Date.now();
  const root = await makeAuthorityCertificate('Root');
  const api = http.client();
  const { verificationCode } = await api.certificateAuthorities.add('root', root.pem);
  const proof = await makeCertificate(verificationCode ?? '', { issuer: root });
  await api.certificateAuthorities.prove('root', proof.pem);
  const d1 = await registerDevice(http, 'd1');
  const d2 = await registerDevice(http, 'd2');
  const module = await registerDevice(http, 'd1', 'm1');
  const off = await registerDevice(http, 'off');
  const disabled = await off.token();
  await api.devices.update('off', { ...(await api.devices.get('off')), status: 'disabled' });
  await api.devices.create('x1', { authentication: { type: 'certificateAuthority' } });

  const ownerKey = http.policies.find(({ name }) => name === 'iothubowner')?.primaryKey ?? '';
  const owner = (resource: string, expiresAt: number): Promise<string> =>
    signSas({ resource, key: ownerKey, policyName: 'iothubowner', expiresAt });
  const callers: Caller[] = [
    { name: 'd1', token: await d1.token() },
    { name: 'd2', token: await d2.token() },
    { name: 'd1/m1', token: await module.token() },
    { name: 'disabled', token: disabled },
    { name: 'certificate', certificate: await makeCertificate('x1', { issuer: root }) },
    ...(await Promise.all(policyNames.map(async (name) => ({ name, token: await http.token(name) })))),
    { name: 'service for d1', token: await http.token('service', '/devices/d1') },
    {
      name: 'service for testhub',
      token: await http.token('service', '/testhub'),
      audience: 'amqps://localhost/testhub',
    },
    { name: 'expired', token: await owner('localhost', now - 600_000) },
    { name: 'expired d1', token: await d1.token(-600_000) },
    { name: 'wrong hub', token: await owner('another.example', now + 600_000) },
    { name: 'none' },
  ];
  return {
    http,
    mqtt,
    amqp,
    callers,
    refused,
    ask: (caller, method, path, body, more) => request(http, caller, method, path, body, more),
    async [Symbol.asyncDispose]() {
      for (const opened of [mqtt, amqp]) {
        await opened.stopAccepting();
        await opened.drain();
      }
      await http[Symbol.asyncDispose]();
    },
  };
}

function request(
  http: HttpHub,
  caller: Caller,
  method: string,
  path: string,
  body: unknown,
  { query, headers }: RequestMore = {},
): Promise<number> {
  const { token, certificate } = caller;
  return new Promise((resolve, reject) => {
    const call = https.request(
      {
        host: '127.0.0.1',
        port: http.door.port,
        servername: 'localhost',
        ca: http.tls.ca,
        ...(certificate === undefined ? {} : { cert: certificate.pem, key: certificate.keyPem }),
        agent: false,
        method,
        path: `${path}?api-version=2021-04-12${query === undefined ? '' : `&${query}`}`,
        headers: {
          ...(token === undefined ? {} : { authorization: token }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (response) => {
        // It goes on for as long as the caller likes.
        if (response.headers['content-type']?.startsWith('text/event-stream')) {
          resolve(response.statusCode ?? 0);
          response.destroy();
          return;
        }
        response.resume();
        response.once('end', () => resolve(response.statusCode ?? 0));
      },
    );
    call.once('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
