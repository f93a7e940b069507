/** One device has its share of the calls that wait for the tables, on whichever door, and those of others go past it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import rhea, { type Message } from 'rhea';
import { openMqttDoor } from '../../src/protocols/mqtt/server.ts';
import { AmqpDriver, bodyText, type DriverReceiver } from '../drivers/amqp.ts';
import { type AmqpTestHub, openAmqpTestHub } from '../drivers/amqp-door.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { withLimits } from './cost.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of types
const { message: messages } = rhea as any;

const COMMAND_LINKS = 20;
const TWIN_REQUESTS = 30;
const ATTACKERS = ['evil-1', 'evil-2', 'evil-3'];
const bounds = { callsPerDeviceMax: 4, callsWaitingPerDeviceMax: 6, callsMax: 16, callsReservedPerShare: 2 };

/** Holds the calls of attackers in the store until they are let go, and counts them. */
function held(hub: AmqpTestHub): { readonly underWay: () => number; release(): void } {
  const gate = Promise.withResolvers<void>();
  let underWay = 0;
  const holding = <Args extends [{ readonly deviceId: string }, ...unknown[]], Answer>(
    call: (...args: Args) => Promise<Answer>,
  ) => {
    return async (...args: Args): Promise<Answer> => {
      if (!ATTACKERS.includes(args[0].deviceId)) return call(...args);
      underWay++;
      await gate.promise;
      underWay--;
      return call(...args);
    };
  };
  const { commandQueue, twinStore } = hub;
  Object.assign(commandQueue, { lockNext: holding(commandQueue.lockNext.bind(commandQueue)) });
  Object.assign(twinStore, { load: holding(twinStore.load.bind(twinStore)) });
  return { underWay: () => underWay, release: () => gate.resolve() };
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const started = performance.now(); !isSo(); ) {
    assert.ok(performance.now() - started < 20_000, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Asks for its twin many times, and opens many links for commands. @returns its connection, and where the answers come */
async function attack(
  hub: AmqpTestHub,
  id: string,
): Promise<{ readonly client: AmqpDriver; readonly answers: DriverReceiver }> {
  const device = await hub.device(id);
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(device.token(), device.resource);
  const properties = { 'com.microsoft:channel-correlation-id': 'twin:1' };
  const answers = client.receive(device.address('twin'), { properties, snd_settle_mode: 1 });
  const requests = client.send(device.address('twin'), { properties, snd_settle_mode: 1 });
  await Promise.all([answers.opened(), requests.opened()]);
  answers.credit(1000);
  for (let nth = 0; nth < TWIN_REQUESTS; nth++) {
    requests.link.send({
      correlation_id: `c${nth}`,
      message_annotations: { operation: 'GET' },
      body: messages.data_section(Buffer.from(' ')),
    } as unknown as Message);
  }
  const links = Array.from({ length: COMMAND_LINKS }, () => client.receive(device.address('messages/devicebound')));
  await Promise.all(links.map((link) => link.opened()));
  for (const link of links) link.credit(1);
  return { client, answers };
}

const statuses = ({ messages }: DriverReceiver): unknown[] =>
  messages.map(({ message_annotations: annotations }) => annotations?.status);

test('three devices that fill their shares of the table calls do not delay the connect, subscription and twin of a fourth', async () => {
  await withLimits(bounds, async () => {
    await using hub = await openAmqpTestHub();
    const mqtt = await openMqttDoor(hub.hub, { name: 'mqttPort', port: 0, addresses: ['127.0.0.1'] });
    await using _door = {
      async [Symbol.asyncDispose]() {
        await mqtt.stopAccepting();
        await mqtt.drain();
      },
    };
    const hold = held(hub);
    const attackers = await Promise.all(ATTACKERS.map((id) => attack(hub, id)));
    const refusedEach = TWIN_REQUESTS - bounds.callsPerDeviceMax - bounds.callsWaitingPerDeviceMax;
    await until('what is beyond their shares and lines is refused', () =>
      attackers.every(({ answers }) => answers.messages.length >= refusedEach),
    );
    assert.equal(hold.underWay(), ATTACKERS.length * bounds.callsPerDeviceMax);
    for (const { answers } of attackers) assert.deepEqual(new Set(statuses(answers)), new Set([429]));
    assert.equal(JSON.parse(bodyText(attackers[0].answers.messages[0])).errorCode, 429001);

    // Nothing of the attackers moves; so whatever is answered now went past them.
    const honest = await hub.device('honest');
    const { client, returnCode } = await MqttDriver.connect(
      { port: mqtt.port },
      {
        clientId: 'honest',
        username: `localhost/honest/?api-version=2021-04-12`,
        password: Buffer.from(honest.token()),
        clean: false,
      },
    );
    assert.equal(returnCode, 0);
    const topics = [
      '$iothub/twin/res/#',
      '$iothub/twin/PATCH/properties/desired/#',
      'devices/honest/messages/devicebound/#',
    ];
    client.send({ cmd: 'subscribe', messageId: 7, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) });
    await client.next('suback');
    client.publish({ topic: '$iothub/twin/GET/?$rid=1', payload: Buffer.from(' ') });
    assert.equal((await client.next('publish')).topic, '$iothub/twin/res/200/?$rid=1');
    client.destroy();

    hold.release();
    await until('what waited in line is served', () =>
      attackers.every(({ answers }) => answers.messages.length === TWIN_REQUESTS),
    );
    for (const { answers } of attackers) assert.ok(statuses(answers).includes(200), 'the line was served');
    for (const attacker of attackers) await attacker.client.close();
  });
});

test('canary: without shares, the calls of three devices are as many as they like', async () => {
  const names = ['callsPerDeviceMax', 'callsMax'] as const;
  await withLimits(Object.fromEntries(names.map((name) => [name, Number.MAX_SAFE_INTEGER])), async () => {
    await using hub = await openAmqpTestHub();
    const hold = held(hub);
    const attackers = await Promise.all(ATTACKERS.map((id) => attack(hub, id)));
    await until('all of them are under way', () => hold.underWay() > ATTACKERS.length * TWIN_REQUESTS);
    hold.release();
    for (const attacker of attackers) await attacker.client.close();
  });
});

test('commands that a back end sends ahead keep so many bytes, and the rest is refused until some are stored', async () => {
  const body = Buffer.alloc(10_000);
  await withLimits({ amqpCommandsBytesPerPolicyMax: 45_000 }, async () => {
    await using hub = await openAmqpTestHub();
    await hub.device('d1');
    const gate = Promise.withResolvers<void>();
    const enqueue = hub.commandQueue.enqueue.bind(hub.commandQueue);
    Object.assign(hub.commandQueue, {
      enqueue: async (...args: Parameters<typeof enqueue>) => {
        await gate.promise;
        return enqueue(...args);
      },
    });
    const client = await AmqpDriver.connect(hub.port, { username: 'service', password: hub.key('service') });
    const links = Array.from({ length: 3 }, () => client.send('/messages/devicebound'));
    await Promise.all(links.map((link) => link.opened()));
    const command = (): Message => ({ to: '/devices/d1/messages/devicebound', body: messages.data_section(body) });
    let refused = 0;
    const outcomes = links.flatMap((link) =>
      Array.from({ length: 3 }, () =>
        link.outcome(command()).then((outcome) => {
          if (outcome !== 'accepted') refused++;
          return outcome;
        }),
      ),
    );
    await until('what is over the share is refused', () => refused === 5);
    gate.resolve();
    const conditions = (await Promise.all(outcomes)).map((outcome) =>
      outcome === 'accepted' ? outcome : JSON.stringify(outcome).includes('com.microsoft:device-container-throttled'),
    );
    assert.equal(conditions.filter((each) => each === 'accepted').length, 4);
    assert.ok(!conditions.includes(false));
    assert.equal(await links[0].outcome(command()), 'accepted', 'the share is given back');
    await client.close();
  });
});
