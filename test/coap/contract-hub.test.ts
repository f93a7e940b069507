/** The contract of adapters, kept by coap inside a real hub's machine, in a process of its own. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import coap from '../../src/adapters/coap/index.ts';
import { adapterContract, type ContractDriver, type ContractRig } from '../../src/gateway/testing/index.ts';
import { codes } from '../../src/wire/coap/messages.ts';
import { type AdapterHub, hubRig, startAdapterHub } from '../drivers/adapter-hub.ts';
import { CoapClient } from '../drivers/coap.ts';
import { coapDriver, oscoreDriver } from '../drivers/coap-device.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';

/** A host keeps a shared key for a minute; so each case has devices of other names. */
let names = 0;
const named = (device: string): string => `${device}-${names}`;

function ownNames(driver: ContractDriver): ContractDriver {
  return { ...driver, connect: (port, device, key) => driver.connect(port, named(device), key) };
}

async function ownNamesRig(rig: Promise<ContractRig>): Promise<ContractRig> {
  names++;
  const of = await rig;
  return {
    ...of,
    addDevice: (device) => of.addDevice(named(device)),
    texts: (device) => of.texts(named(device)),
    sendCommand: (device, text) => of.sendCommand(named(device), text),
    callMethod: (device, name, payload) => of.callMethod(named(device), name, payload),
    setDesired: (device, patch) => of.setDesired(named(device), patch),
    reported: (device) => of.reported(named(device)),
    giveFile: async (device, name, bytes) => of.giveFile?.(named(device), name, bytes),
    uploaded: async (device, name) => of.uploaded?.(named(device), name),
    disable: (device) => of.disable(named(device)),
  };
}

describe("the contract of adapters: coap in the hub's machine", () => {
  let open: AdapterHub;
  before(async () => {
    open = await startAdapterHub([{ adapter: 'coap', settings: { udp: { port: 0 } }, sharedKeysOf: ['*'] }]);
  });
  after(() => open[Symbol.asyncDispose]());
  for (const [name, driver] of [
    ['without protection', coapDriver],
    ['by OSCORE', oscoreDriver],
  ] as const)
    for (const { title, run } of adapterContract(coap, ownNames(driver), () => ownNamesRig(hubRig(open, 'coap')())))
      test(`${name}: ${title}`, { timeout: 30_000 }, run);

  test('each message has its own properties, however they change from one to the next', {
    timeout: 30_000,
  }, async () => {
    const key = await open.addDevice('several');
    const client = await CoapClient.open(await open.port('coap'), ['device=several', `key=${key}`]);
    const sent: { body: string; properties: Record<string, string> }[] = [];
    try {
      for (let at = 0; at < 60; at++) {
        const place = ['a', 'b', 'c', 'd', 'e', 'f'][(at * at) % 6];
        const unit = at % 5 === 0 ? String(at) : 'C';
        await client.request(`telemetry/${place}`, { code: codes.post, payload: String(at), query: [`unit=${unit}`] });
        sent.push({ body: String(at), properties: { path: place, unit } });
      }
    } finally {
      client.close();
    }
    const arrived: ReadEvent[] = [];
    const place = {
      port: open.hub.endpoints.ports.amqp ?? 0,
      connectionString: open.hub.endpoints.connectionStrings.eventHubs,
    };
    await readToEnd(place, new Map(), (event) => void (event.deviceId === 'several' && arrived.push(event)));
    const told = arrived.map(({ body, properties }) => ({ body: body.toString(), properties: { ...properties } }));
    assert.deepEqual(told, sent);
  });
});
