/** A device of the adapter mqtt-topics, for the contract: an MQTT 5 client, which can say more than yes with its PUBACK. */
import mqtt from 'mqtt';
import type { ContractDriver, TestDevice } from '../../src/gateway/testing/contract.ts';

const reasons = { complete: 0, reject: 0x83, abandon: 0x97 } as const;

interface Arrived {
  readonly text: string;
  settle(how: keyof typeof reasons): void;
}

export const mqttTopicsDriver: ContractDriver = {
  settings: {
    listen: { port: 0, plain: true },
    inbound: [
      { topic: 'up/{device}/message', to: 'telemetry' },
      { topic: 'up/{device}/reported', to: 'reported' },
      { topic: 'up/{device}/answer', to: 'answer', id: 'id', status: 'status', result: 'payload' },
    ],
    outbound: [
      { from: 'command', topic: 'down/{device}/command' },
      { from: 'desired', topic: 'down/{device}/desired' },
      {
        ...{ from: 'method', topic: 'down/{device}/method', answered: true },
        body: { id: '{id}', name: '{name}', payload: '{payload}' },
      },
    ],
  },
  async connect(port, device, key): Promise<TestDevice> {
    const said = new Map<string, Arrived[]>();
    const waiting = new Map<string, (arrived: Arrived) => void>();
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
      ...{ username: device, password: key, clientId: device, protocolVersion: 5, reconnectPeriod: 0 },
      customHandleAcks: (topic, message, _packet, done) => {
        const kind = topic.split('/')[2];
        const arrived: Arrived = {
          text: message.toString(),
          settle: (how) => done(null as unknown as Error, reasons[how]),
        };
        // A client that has not been asked for it keeps it.
        const wanted = waiting.get(kind);
        waiting.delete(kind);
        if (wanted !== undefined) wanted(arrived);
        else said.set(kind, [...(said.get(kind) ?? []), arrived]);
      },
    });
    const next = (kind: string): Promise<Arrived> => {
      const first = said.get(kind)?.shift();
      return first === undefined ? new Promise((resolve) => waiting.set(kind, resolve)) : Promise.resolve(first);
    };
    const publish = (kind: string, body: string): Promise<unknown> =>
      client.publishAsync(`up/${device}/${kind}`, body, { qos: 1 });
    const ended = new Promise<void>((resolve) => client.once('close', () => resolve()));
    await client.subscribeAsync(`down/${device}/#`, { qos: 1 });
    return {
      ended,
      send: async (text) => void (await publish('message', text)),
      command: () => next('command'),
      async method(answer) {
        const asked = await next('method');
        const { id, name, payload } = JSON.parse(asked.text);
        asked.settle('complete');
        await publish('answer', JSON.stringify({ id, ...answer(name, payload) }));
      },
      async desired() {
        const changed = await next('desired');
        changed.settle('complete');
        return JSON.parse(changed.text);
      },
      report: async (patch) => void (await publish('reported', JSON.stringify(patch))),
      async leave() {
        client.end(true);
        await ended;
      },
    };
  },
};
