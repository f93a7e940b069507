/**
 * The least that can carry a method: `node:https` with connections that are kept, an MQTT broker behind it, QoS 0, nobody is checked.
 * Run as a process: `method-bridge.ts PORT BROKER-PORT CERTIFICATE KEY`.
 */
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { TopicDevice } from '../load/topic-device.ts';

const [port, brokerPort, certificateFile, keyFile] = process.argv.slice(2);
const RESPONSE = /^methods\/res\/(-?\d+)\/\?\$rid=(\d+)$/;

interface Waiting {
  answer(status: number, payload: string): void;
}

const login = { clientId: 'bridge', username: '', password: '' };
const broker = await TopicDevice.open(Number(brokerPort), login, ['methods/res/#']);
const waiting = new Map<string, Waiting>();
let calls = 0;

broker.hear = (topic, payload) => {
  const found = RESPONSE.exec(topic);
  if (found === null) return;
  waiting.get(found[2])?.answer(Number(found[1]), payload.toString());
  waiting.delete(found[2]);
};

const server = https.createServer(
  { cert: readFileSync(certificateFile), key: readFileSync(keyFile) },
  (request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => {
      const [, , id] = (request.url ?? '').split('/');
      const { methodName, payload } = JSON.parse(text);
      const rid = String(++calls);
      waiting.set(rid, {
        answer(status, result) {
          const body = `{"status":${status},"payload":${JSON.stringify(JSON.parse(result))}}`;
          response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
          response.end(body);
        },
      });
      broker.publish(`methods/${id}/POST/${methodName}/?$rid=${rid}`, Buffer.from(JSON.stringify(payload)));
    });
  },
);
server.listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
