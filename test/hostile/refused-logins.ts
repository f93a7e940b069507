/** Logins that are refused, in every protocol and in every form that carries a secret, each with a secret of its own. */
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import tls from 'node:tls';
import rhea from 'rhea';
import { WebSocket } from 'ws';
import { AmqpDriver, RawAmqp } from '../drivers/amqp.ts';
import { plain, SASL_HEADER } from '../drivers/amqp-bytes.ts';
import type { TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

/** A secret that was shown to the hub, and what would be left of it. */
export interface ShownSecret {
  /** How it was shown. */
  readonly way: string;
  /** As bytes of a text, and as the bytes that the text stands for. */
  readonly forms: readonly Buffer[];
}

/** Longer than 13 characters: the engine keeps such a part of a text by keeping the text. */
export const OWN_DEVICE = 'device-with-a-long-name-1';
export const FOREIGN_DEVICE = 'device-with-a-long-name-2';

interface Shown extends ShownSecret {
  readonly text: string;
}

let tokens = 0;
/** Another name each time: names of failures are kept for a while. */
const nobody = (kind: string): string => `${kind}-that-nobody-has-made-${tokens++}`;

/** A token for `resource`, signed with `key` or with one that nobody has. */
function token(way: string, resource: string, { key = randomBytes(32) as Buffer, policy = '' } = {}): Shown {
  const sr = encodeURIComponent(resource);
  // No two alike.
  const se = Math.floor(Date.now() / 1000) + 600 + tokens++;
  const sig = createHmac('sha256', key).update(`${sr}\n${se}`).digest();
  const encoded = encodeURIComponent(sig.toString('base64'));
  const text = `SharedAccessSignature sr=${sr}&sig=${encoded}&se=${se}${policy === '' ? '' : `&skn=${policy}`}`;
  return { way, text, forms: [Buffer.from(encoded), Buffer.from(sig.toString('base64')), sig] };
}

/** A key as it stands. */
function key(way: string): Shown {
  const bytes = randomBytes(32);
  return { way, text: bytes.toString('base64'), forms: [Buffer.from(bytes.toString('base64')), bytes] };
}

/**
 * Shows all of them, and waits for each refusal and for the end of its connection.
 * @param foreignKey of `FOREIGN_DEVICE`, whose own token is shown where `OWN_DEVICE` is meant
 * @throws Error when one is not refused
 */
export async function refusedLogins(hub: TestHub, foreignKey: Buffer): Promise<readonly ShownSecret[]> {
  const shown: ShownSecret[] = [];
  const own = `localhost/devices/${OWN_DEVICE}`;
  const foreign = `localhost/devices/${FOREIGN_DEVICE}`;
  const forms = (way: string): readonly Shown[] => [
    token(`${way}, wrong key`, own),
    token(`${way}, token of another device`, foreign, { key: foreignKey }),
    token(`${way}, unknown device`, `localhost/devices/${nobody('device')}`),
    token(`${way}, wrong key of a policy`, own, { policy: 'iothubowner' }),
    token(`${way}, unknown policy`, own, { policy: nobody('policy') }),
    token(`${way}, another hub`, own.replace('localhost', 'another-host.example')),
    key(`${way}, a key where a token belongs`),
  ];
  const showing: Promise<void>[] = [];
  /** All at the same time, for refusals are answered late. */
  const each = (secrets: readonly Shown[], show: (text: string) => Promise<boolean>): void => {
    for (const { way, text, forms } of secrets) {
      shown.push({ way, forms });
      const refused = show(text).then((letIn) => {
        if (letIn) throw new Error(`${way}: let in`);
      });
      showing.push(refused);
    }
  };
  const { ports, hubName } = hub.endpoints;
  const webSocket = `wss://localhost:${ports.https}/$iothub/websocket`;

  const mqtt = async (open: () => Promise<MqttDriver>, text: string): Promise<boolean> => {
    const username = `localhost/${OWN_DEVICE}/?api-version=2021-04-12`;
    const fields = { clientId: OWN_DEVICE, username, password: Buffer.from(text) };
    const { client, returnCode } = await MqttDriver.connect({ port: 0 }, fields, open());
    await client.untilClosed();
    return returnCode === 0;
  };
  const secure = { port: ports.mqtts ?? 0, ca: hub.ca };
  each(forms('MQTT'), (text) => mqtt(() => MqttDriver.open({ port: ports.mqtt ?? 0 }), text));
  each(forms('MQTT over TLS'), (text) => mqtt(() => MqttDriver.open(secure), text));
  const overWebSocket = { port: ports.https ?? 0, ca: hub.ca };
  each(forms('MQTT over WebSockets'), (text) => mqtt(() => MqttDriver.openWebSocket(overWebSocket), text));

  const users = [`${OWN_DEVICE}@sas.${hubName}`, `iothubowner@sas.root.${hubName}`];
  users.push('service', nobody('policy'), nobody('policy'), nobody('policy'));
  for (const username of users) {
    const way = `SASL PLAIN as ${username}`;
    const secrets = username.includes('@') ? forms(way) : [key(way), token(way, 'localhost', { policy: username })];
    each(secrets, async (password) => {
      const peer = await RawAmqp.connect(ports.amqp ?? 0);
      peer.write(SASL_HEADER, plain(username, password));
      await peer.ended;
      // sasl-outcome (1.0 part 5.3.3.6), code 0
      return peer.received.includes(Buffer.from('005344c00301', 'hex'));
    });
  }
  const refusedBy = async (peer: AmqpDriver, text: string): Promise<boolean> => {
    const { application_properties: answer } = await peer.putToken(text, own);
    await peer.close();
    const status = answer?.['status-code'];
    // 401, or 429 where so many refusals of this address wait that it is not judged.
    if (status !== 401 && status !== 429) throw new Error(`a token was answered ${status}`);
    return false;
  };
  each(forms('CBS'), async (text) => refusedBy(await AmqpDriver.connect(ports.amqp ?? 0), text));
  each(forms('CBS over TLS'), async (text) => {
    const options = { transport: 'tls', host: 'localhost', ca: hub.ca };
    return refusedBy(await AmqpDriver.connect(ports.amqps ?? 0, options as never), text);
  });
  each(forms('CBS over WebSockets'), async (text) => {
    const details = rhea.websocket_connect(WebSocket as never)(webSocket, ['AMQPWSB10'], { ca: hub.ca } as never);
    return refusedBy(await AmqpDriver.connect(0, { connection_details: details } as never), text);
  });

  const http = async (head: string, body = ''): Promise<boolean> => {
    const socket = tls.connect({ port: ports.https ?? 0, host: '127.0.0.1', servername: 'localhost', ca: hub.ca });
    socket.on('error', () => {});
    socket.write(`${head}\r\nHost: localhost\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    const status = /^HTTP\/1\.1 (\d{3})/.exec(Buffer.concat(chunks).toString('latin1'))?.[1];
    if (status === undefined) throw new Error(`${head.slice(0, 40)}: no answer`);
    return status.startsWith('2') || status.startsWith('1') || status.startsWith('5');
  };
  const version = 'api-version=2021-04-12';
  const places = [
    `GET /devices/${OWN_DEVICE}?${version}`,
    `POST /devices/${OWN_DEVICE}/messages/events?${version}`,
    `GET /devices/${OWN_DEVICE}/messages/devicebound?${version}`,
  ];
  for (const place of places) {
    const way = `Authorization of ${place}`;
    each(forms(way), (text) => http(`${place} HTTP/1.1\r\nAuthorization: ${text}`));
    each([key(`Bearer, ${way}`)], (text) => http(`${place} HTTP/1.1\r\nAuthorization: Bearer ${text}`));
    each(forms(`Query of ${place}`), (text) => http(`${place}&authorization=${encodeURIComponent(text)} HTTP/1.1`));
    each(forms(`Query as it stands of ${place}`), (text) => http(`${place}&${text.replace(' ', '%20')} HTTP/1.1`));
  }
  each(forms('Query of an upgrade'), (text) =>
    http(`GET /$iothub/websocket?${text.replace(' ', '%20')} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade`),
  );
  each(forms('Query of the admin port'), async (text) => {
    const answer = await fetch(`http://127.0.0.1:${ports.admin}/nothing?${text.replace(' ', '%20')}`);
    await answer.text();
    return answer.ok;
  });
  each(forms('Authorization of the admin port'), async (text) => {
    const answer = await fetch(`http://127.0.0.1:${ports.admin}/nothing`, { headers: { authorization: text } });
    await answer.text();
    return answer.ok;
  });
  await Promise.all(showing);
  return shown;
}
