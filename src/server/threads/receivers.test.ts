import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { after, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { createReceiverPlaces, type ReceiverPlaces } from '../../core/events/receivers.ts';
import { receiverPlacesContract } from '../../stores/contract/receiver-places.ts';
import { openThreadLink, type ThreadLink } from './calls.ts';
import { receiverPlacesOf, receiversStandIn, serveReceivers } from './receivers.ts';
import { openSocketLink } from './socket-link.ts';

const ends: (() => void)[] = [];
after(() => {
  for (const end of ends) end();
});

/** The places as a listener thread sees them. */
function onThread(places: ReceiverPlaces) {
  const { port1, port2 } = new MessageChannel();
  ends.push(() => port1.close());
  return over(openThreadLink(port1), openThreadLink(port2), places);
}

/** The places as a member that shares no memory sees them. */
function onNode(places: ReceiverPlaces) {
  const [one, other] = duplexPair();
  ends.push(() => void one.destroy());
  return over(openSocketLink(one), openSocketLink(other), places);
}

function over(link: ThreadLink, own: ThreadLink, places: ReceiverPlaces) {
  const end = serveReceivers(link, places);
  const die = (): void => {
    link.close();
    end();
  };
  return { places: receiversStandIn(own), die, close: () => own.close() };
}

receiverPlacesContract('one process', () => {
  const places = createReceiverPlaces();
  return [places, places];
});

receiverPlacesContract('the main thread and a listener thread', () => {
  const places = createReceiverPlaces();
  return [places, onThread(places).places];
});

receiverPlacesContract('two listener threads', () => {
  const places = createReceiverPlaces();
  return [onThread(places).places, onThread(places).places];
});

receiverPlacesContract('a listener thread and another node', () => {
  const places = createReceiverPlaces();
  return [onThread(places).places, onNode(places).places];
});

test('receivers of a thread that has ended are out, and nobody waits for them', async () => {
  const places = createReceiverPlaces();
  const [first, second] = [onThread(places), onThread(places)];
  const place = { eventHub: 'hub', consumerGroup: '$Default', partition: 0 };
  const told = Promise.withResolvers<void>();
  const hangs = (): Promise<void> => {
    told.resolve();
    return new Promise(() => {});
  };
  await first.places.enter(place, { name: 'hangs', epoch: 1, displaced: hangs });
  const entered = second.places.enter(place, { name: 'owner', epoch: 2, displaced: () => assert.fail() });
  await told.promise;
  first.die();
  await entered;
  second.die();
  await places.enter(place, { name: 'shares', displaced: () => assert.fail() });
});

test('receivers that fail while their link closes keep no other from hearing', async () => {
  const { places, close } = onThread(createReceiverPlaces());
  const place = { eventHub: 'hub', consumerGroup: '$Default', partition: 0 };
  const told: string[] = [];
  await places.enter(place, { name: 'rejects', displaced: async () => Promise.reject(new Error('a bug')) });
  await places.enter(place, {
    name: 'throws',
    displaced: () => {
      throw new Error('a bug');
    },
  });
  await places.enter(place, { name: 'hears', displaced: ({ code }) => void told.push(code) });
  close();
  assert.deepEqual(told, ['ServiceUnavailable']);
  // A rejection that nobody handles would fail this test by now.
  await new Promise((resolve) => setImmediate(resolve));
});

test('receivers of an event hub that is not there are refused', async () => {
  const places = receiverPlacesOf({
    eventHub: () => undefined,
    enterReceiver: () => assert.fail(),
  });
  const receiver = { name: 'r', displaced: () => assert.fail() };
  const entering = onThread(places).places.enter({ eventHub: 'none', consumerGroup: 'g', partition: 0 }, receiver);
  await assert.rejects(entering, { code: 'AmqpAddressNotFound' });
});
