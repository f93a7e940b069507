/** Tokens of policies that are confined to one of the hub's documented endpoints: good for it, and for nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AmqpDriver } from '../drivers/amqp.ts';
import { openAmqpTestHub } from '../drivers/amqp-door.ts';
import { openHttpHub } from '../drivers/http.ts';

const version = 'api-version=2021-04-12';

const cases: readonly {
  readonly policy: string;
  readonly scope: string;
  readonly allowed: readonly string[];
  readonly refused: readonly string[];
}[] = [
  {
    policy: 'registryRead',
    scope: '/devices',
    allowed: ['/devices/d1', '/devices/d1/modules'],
    refused: ['/devices', '/statistics/devices'],
  },
  {
    policy: 'registryRead',
    scope: '/statistics',
    allowed: ['/statistics/devices', '/statistics/service'],
    refused: ['/devices', '/devices/d1'],
  },
  {
    policy: 'registryRead',
    scope: '/statistics/service',
    allowed: ['/statistics/service'],
    refused: ['/statistics/devices', '/devices/d1'],
  },
  {
    policy: 'service',
    scope: '/messages/serviceBound/feedback',
    allowed: ['/messages/serviceBound/feedback'],
    refused: ['/devices/d1', '/statistics/service'],
  },
  { policy: 'service', scope: '/messages/deviceBound', allowed: [], refused: ['/messages/serviceBound/feedback'] },
];

for (const { policy, scope, allowed, refused } of cases) {
  test(`REST: a token of ${policy} for ${scope} is good there and nowhere else`, async () => {
    await using http = await openHttpHub();
    await http.client().devices.create('d1');
    const authorization = await http.token(policy, scope);
    const ask = async (path: string): Promise<number> =>
      (await http.request('GET', `${path}?${version}`, { headers: { authorization } })).status;
    for (const path of allowed) assert.ok([200, 204].includes(await ask(path)), path);
    for (const path of refused) assert.equal(await ask(path), 401, path);
  });
}

test('AMQP: a token for /messages/deviceBound sends commands to any device, one for the feedback receives it', async () => {
  await using hub = await openAmqpTestHub();
  await hub.device('d1');
  const links = {
    '/messages/deviceBound': (client: AmqpDriver) => client.send('/messages/deviceBound'),
    '/messages/serviceBound/feedback': (client: AmqpDriver) => client.receive('/messages/serviceBound/feedback'),
    '/devices/d1': (client: AmqpDriver) => client.receive('/devices/d1/messages/devicebound'),
  } as const;
  for (const [scope, policyName] of [
    ['/messages/deviceBound', 'service'],
    ['/messages/serviceBound/feedback', 'service'],
    ['/devices/d1', 'device'],
  ] as const) {
    const client = await AmqpDriver.connect(hub.port);
    const resource = `localhost${scope}`;
    assert.equal(
      (await client.putToken(hub.token({ policyName, resource }), resource)).application_properties?.['status-code'],
      200,
    );
    for (const [address, open] of Object.entries(links)) {
      const link = open(client);
      if (address === scope) await link.opened();
      else assert.equal((await link.ending()).condition, 'amqp:unauthorized-access', `${scope} at ${address}`);
    }
    await client.close();
  }
  const client = await AmqpDriver.connect(hub.port);
  await client.putToken(hub.token({ resource: 'localhost/messages/deviceBound' }), 'localhost/messages/deviceBound');
  const sender = client.send('/messages/devicebound');
  const send = (deviceId: string) => sender.outcome({ to: `/devices/${deviceId}/messages/devicebound`, body: 'x' });
  assert.equal(await send('d1'), 'accepted');
  assert.equal(((await send('nobody')) as { condition: string }).condition, 'amqp:not-found');
  await client.close();
});
