/**
 * What each kind of attacker tries on each door: a stranger, a device with its key, a back end that may do what `ServiceConnect` allows.
 * Each goes on until its kit's signal. What is written is what costs the hub most, as far as it is known: `SECURITY.md` has the bounds.
 */
import mqttPacket from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { anonymous, attach, begin, flow, HEADER, open, plain, SASL_HEADER, transfer } from '../drivers/amqp-bytes.ts';
import { connectPacket, publishPacket } from '../drivers/mqtt.ts';
import { backEndCommands, backEndReaders, deviceBatches, deviceTwins, fatAttaches } from './amqp-attacks.ts';
import { connectFields, deviceToken } from './good-client.ts';
import {
  adminOfStranger,
  filesOfBackEnd,
  filesOfDevice,
  filesOfStranger,
  httpOfBackEnd,
  httpOfDevice,
  httpOfStranger,
  twinsOfBackEnd,
} from './http-attacks.ts';
import { type Door, EVIL, type Kit, LANES, policyToken } from './lines.ts';
import { ownLargeTwin } from './twin-attacks.ts';

export type AttackerKind = 'anonymous' | 'device' | 'back end';

export interface DoorAttack {
  readonly who: AttackerKind;
  readonly door: Door;
  readonly name: string;
  run(kit: Kit): Promise<void>;
}

interface Flood {
  readonly lanes?: number;
  /** How long a line is let be behind its bytes. */
  readonly lingerMs?: number;
  /** Whether what comes is read. */
  readonly isRead?: boolean;
}

/** Opens lines one after the other on each lane, writes all of `bytes` on each, and lets it be for a while. */
export function flooding(
  { lanes = LANES, lingerMs = 100, isRead = true }: Flood,
  door: Door,
  bytes: (kit: Kit, turn: number) => Iterable<Buffer>,
): (kit: Kit) => Promise<void> {
  return async (kit) => {
    const lane = async (at: number): Promise<void> => {
      for (let turn = at; !kit.signal.aborted; turn += lanes) {
        const line = await kit.open(door).catch(() => undefined);
        if (line === undefined) {
          await kit.pause(20);
          continue;
        }
        if (!isRead) line.pause();
        for (const piece of bytes(kit, turn)) if (!(await kit.write(line, piece))) break;
        const closed = new Promise<void>((resolve) => line.once('close', resolve));
        if (!line.destroyed) await Promise.race([closed, kit.pause(lingerMs)]);
        line.destroy();
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, at) => lane(at)));
  };
}

const both = (
  who: AttackerKind,
  protocol: 'MQTT' | 'AMQP',
  name: string,
  run: (door: Door) => (kit: Kit) => Promise<void>,
): readonly DoorAttack[] =>
  [protocol, `${protocol} over WebSocket` as const].map((door) => ({ who, door, name, run: run(door) }));

const mqtt = mqttPacket.generate.bind(mqttPacket);

/** Requests to the own twin, patches, messages with many properties, and subscriptions, as fast as they are taken. */
function* mqttOfDevice(kit: Kit): Iterable<Buffer> {
  yield mqtt(connectPacket({ ...connectFields(kit.hub, EVIL), clean: false }));
  const topics = [
    '$iothub/twin/res/#',
    '$iothub/twin/PATCH/properties/desired/#',
    `devices/${EVIL}/messages/devicebound/#`,
  ];
  yield mqtt({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) });
  const bag = Array.from({ length: 90 }, (_, at) => `p${at}=v`).join('&');
  const patch = JSON.stringify(Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`n${at}`, at])));
  for (let nth = 2; nth < 4000; nth++) {
    yield mqtt(publishPacket({ topic: `$iothub/twin/GET/?$rid=${nth}`, payload: ' ' }));
    const topic = `devices/${EVIL}/messages/events/${bag}`;
    yield mqtt(publishPacket({ topic, qos: 1, messageId: nth, payload: 'x' }));
    if (nth % 10 === 0) {
      yield mqtt(publishPacket({ topic: `$iothub/twin/PATCH/properties/reported/?$rid=p${nth}`, payload: patch }));
    }
    if (nth % 50 === 0) yield Buffer.alloc(2000, Buffer.from([0xc0, 0]));
  }
}

function* mqttOfStranger(kit: Kit, turn: number): Iterable<Buffer> {
  const fields = { ...connectFields(kit.hub, `nobody-${turn % 50}`), password: Buffer.from('A'.repeat(4000)) };
  if (turn % 2 === 0)
    yield mqtt(connectPacket({ ...fields, will: { topic: 'x', payload: Buffer.alloc(8000) } as never }));
  else yield Buffer.concat([Buffer.from([0x10, 0xff, 0x7f]), Buffer.alloc(limits.mqttConnectBytesMax, 1)]);
}

/** Answers asked for on links to `$cbs`, which flows ask for again: work for each byte, before anybody is proved. */
function* cbsOfStranger(): Iterable<Buffer> {
  yield Buffer.concat([SASL_HEADER, anonymous(), HEADER, open(), begin(0, 0)]);
  for (let handle = 0; handle < 200; handle++) yield attach(0, `l${handle}`, handle, true, '$cbs');
  yield attach(0, 'requests', 999, false, '$cbs');
  for (let nth = 0; nth < 64; nth++) yield transfer(0, 999, Buffer.from([0x00, 0x53, 0x75, 0xa0, 0]), { id: nth });
  yield Buffer.concat(Array.from({ length: 1000 }, () => flow(0, { window: 0, echo: true })));
}

/** Full handshakes with the signature that costs most, as many as are taken. */
async function handshakes(kit: Kit): Promise<void> {
  const options = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' } as const;
  const lane = async (): Promise<void> => {
    while (!kit.signal.aborted) {
      const line = await kit.open('TLS', options).catch(() => undefined);
      line?.destroy();
      if (line === undefined) await kit.pause(5);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** A back end's key at the door of devices, where it counts for nothing. */
function* mqttOfBackEnd({ hub }: Kit): Iterable<Buffer> {
  yield mqtt(connectPacket({ ...connectFields(hub, EVIL), password: Buffer.from(policyToken(hub, 'service')) }));
}

const saslOf = (user: string, password: string): Buffer =>
  Buffer.concat([SASL_HEADER, plain(user, password), HEADER, open()]);
const asDevice = ({ hub }: Kit): Buffer => saslOf(`${EVIL}@sas.${hub.endpoints.hubName}`, deviceToken(hub, EVIL));
const asBackEnd = ({ hub }: Kit): Buffer =>
  saslOf(`service@sas.root.${hub.endpoints.hubName}`, policyToken(hub, 'service'));

export const doorAttacks: readonly DoorAttack[] = [
  ...both('anonymous', 'MQTT', 'CONNECTs as long as they may be, of nobody', (door) =>
    flooding({}, door, mqttOfStranger),
  ),
  ...both('anonymous', 'AMQP', 'links to $cbs, answers and flows', (door) => flooding({}, door, cbsOfStranger)),
  ...both('anonymous', 'AMQP', 'attaches that are refused, of empty values', (door) =>
    flooding({}, door, () => fatAttaches(Buffer.concat([SASL_HEADER, anonymous(), HEADER, open()]))),
  ),
  {
    who: 'anonymous',
    door: 'HTTPS',
    name: 'wrong tokens, 200 header lines, bodies that never end',
    run: flooding({}, 'HTTPS', httpOfStranger),
  },
  {
    who: 'anonymous',
    door: 'files',
    name: 'block lists by a URL that nobody has signed',
    run: flooding({}, 'files', filesOfStranger),
  },
  {
    who: 'anonymous',
    door: 'admin',
    name: 'metrics, requests from elsewhere',
    run: flooding({ lingerMs: 1000 }, 'admin', adminOfStranger),
  },
  { who: 'anonymous', door: 'TLS', name: 'full handshakes with RSA', run: handshakes },
  ...both('device', 'MQTT', 'twin requests, patches, messages with 90 properties, pings', (door) =>
    flooding({ lanes: 2 }, door, mqttOfDevice),
  ),
  ...both('device', 'AMQP', 'twin requests on 30 pairs, 100 links for commands', (door) =>
    flooding({ lanes: 2 }, door, (kit) => deviceTwins(asDevice(kit), EVIL)),
  ),
  ...both('device', 'AMQP', 'its twin of 32 KiB, read on 30 pairs and reported', (door) =>
    // One line: of several of one device each displaces the one before, which has had no answer then.
    flooding({ lanes: 1, lingerMs: 1000 }, door, (kit, turn) => ownLargeTwin(asDevice(kit), EVIL, turn)),
  ),
  ...both('device', 'AMQP', 'batches of empty messages', (door) =>
    flooding({}, door, (kit) => deviceBatches(asDevice(kit), EVIL)),
  ),
  {
    who: 'device',
    door: 'AMQP',
    name: 'attaches that are refused, of empty values',
    run: flooding({ lanes: 2 }, 'AMQP', (kit) => fatAttaches(asDevice(kit))),
  },
  {
    who: 'device',
    door: 'HTTPS',
    name: 'calls of the tables by MQTT, AMQP and HTTPS at once',
    run: (kit) =>
      Promise.all([
        flooding({ lanes: 1 }, 'MQTT', mqttOfDevice)(kit),
        flooding({ lanes: 4, lingerMs: 1000 }, 'AMQP', () => deviceTwins(asDevice(kit), EVIL))(kit),
        flooding({ lanes: 4 }, 'HTTPS', httpOfDevice)(kit),
      ]).then(() => {}),
  },
  {
    who: 'device',
    door: 'HTTPS',
    name: 'pipelined polls, batches of nothing',
    run: flooding({}, 'HTTPS', httpOfDevice),
  },
  { who: 'device', door: 'files', name: 'uploads, block lists of 40,000 names and of blanks', run: filesOfDevice },
  ...both('back end', 'AMQP', 'commands of 60 KiB on 32 links, receipts', (door) =>
    flooding({ lanes: 4 }, door, (kit) => backEndCommands(asBackEnd(kit), EVIL)),
  ),
  ...both('back end', 'AMQP', 'readers from the start on 64 links, requests to $management', (door) =>
    flooding({ lanes: 4, lingerMs: 300 }, door, (kit) => backEndReaders(asBackEnd(kit), kit.hub.endpoints.hubName)),
  ),
  ...both('back end', 'AMQP', 'readers that never read', (door) =>
    flooding({ lingerMs: 1000, isRead: false }, door, (kit) =>
      backEndReaders(asBackEnd(kit), kit.hub.endpoints.hubName),
    ),
  ),
  {
    who: 'back end',
    door: 'HTTPS',
    name: 'twins of 300 tags, methods that wait, queries',
    run: flooding({}, 'HTTPS', httpOfBackEnd),
  },
  {
    who: 'back end',
    door: 'HTTPS',
    name: 'a twin of 32 KiB, changed and read',
    run: flooding({ lanes: 16, lingerMs: 1000 }, 'HTTPS', twinsOfBackEnd),
  },
  { who: 'back end', door: 'files', name: 'files put and read', run: flooding({}, 'files', filesOfBackEnd) },
  ...both('back end', 'MQTT', 'its key at the door of devices', (door) => flooding({}, door, mqttOfBackEnd)),
];

export const nameOf = ({ who, door, name }: DoorAttack): string => `${who}, ${door}: ${name}`;

/** The number of the one attack whose name begins so. */
export function attackNamed(begin: string): number {
  const found = doorAttacks.flatMap((attack, at) => (nameOf(attack).startsWith(begin) ? [at] : []));
  if (found.length !== 1) throw new Error(`${found.length} attacks are called ${begin}`);
  return found[0];
}
