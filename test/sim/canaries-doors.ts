/** Bugs of the AMQP and HTTP doors; see `canaries.ts`. */
import type { Duplex } from 'node:stream';
import type { DurabilityWaiter } from '../../src/core/events/ports.ts';
import type { AmqpConnections } from '../../src/protocols/amqp/connections.ts';
import { type Frame, FrameSplitter } from '../../src/wire/amqp/frames.ts';
import { type Canary, copyOf } from './canary.ts';
import type { Plan } from './plan.ts';

const byAmqp: Partial<Plan> = { amqpDevices: 3, gateways: 1 };
const crashing: Partial<Plan> = { crashEveryMs: 6000 };
const nobody: DurabilityWaiter = { batchDurable() {}, batchFailed() {} };

export const doorCanaries: readonly Canary[] = [
  {
    name: 'answer 204 before it is durable',
    plan: { ...crashing, httpShare: 1 },
    events: (events) => ({
      ...events,
      async send(sender, messages) {
        const stored = events.send(sender, messages);
        if (sender.via?.protocol === 'http') stored.catch(() => {});
        else await stored;
      },
    }),
  },
  {
    name: 'store the first of a batch',
    plan: { httpShare: 1 },
    events: (events) => ({ ...events, send: (sender, messages) => events.send(sender, messages.slice(0, 1)) }),
  },
  {
    name: 'confirm what is said under a lock that is gone',
    plan: { httpShare: 1, purges: true, activeMs: 60_000 },
    commandQueue: (queue) => ({
      ...queue,
      async settle(...parameters) {
        const outcome = await queue.settle(...parameters);
        return outcome.kind === 'lockLost' ? { kind: 'ended', outcome: 'completed' } : outcome;
      },
    }),
  },
  {
    name: 'accept before it is durable',
    plan: { ...byAmqp, crashEveryMs: 3000, diskFaultRate: 0.02 },
    events: (events) => ({
      ...events,
      enqueue(sender, telemetry, waiter) {
        if (sender.via?.protocol !== 'amqp') return events.enqueue(sender, telemetry, waiter);
        const batch = events.enqueue(sender, telemetry, nobody);
        queueMicrotask(() => waiter.batchDurable(batch));
        return batch;
      },
    }),
  },
  {
    name: 'lose a disposition',
    plan: { ...byAmqp, breakEveryMs: 0, crashEveryMs: 0, stopEveryMs: 0 },
    amqp: (connections) => {
      let count = 0;
      return rewritten(connections, () => (frame) => frame.code === DISPOSITION && ++count % 10 === 0);
    },
  },
  {
    name: 'lose an event on its way to a reader',
    plan: { amqpReaders: 2 },
    amqp: (connections) => {
      let count = 0;
      return rewritten(connections, () => ({ code, fields }) => {
        return code === TRANSFER && fields[4] === true && fields[0] !== 0 && ++count % 50 === 0;
      });
    },
  },
  {
    name: 'deliver over the link of another device',
    plan: { ...byAmqp, senders: 2 },
    amqp: (connections) => rewritten(connections, misdelivering),
  },
  {
    name: 'let the older links of a device live',
    plan: { ...byAmqp, visits: true, breakEveryMs: 3000 },
    presence: (presence) => ({
      ...presence,
      claim: (claim) => {
        const stays = (reason: string): boolean => reason === 'taken-over' && claim.protocol === 'amqp';
        return presence.claim({ ...copyOf(claim), drop: (reason) => (stays(reason) ? undefined : claim.drop(reason)) });
      },
    }),
  },
  {
    name: 'let an epoch count for nothing',
    plan: { amqpReaders: 2, partitions: 1 },
    events: (events) => ({
      ...events,
      enterReceiver: (source, { name, displaced }) => events.enterReceiver(source, { name, displaced }),
    }),
  },
  {
    name: 'let tokens last for ever',
    plan: { ...byAmqp, tokensEnd: true },
    hub: (hub) => ({
      ...hub,
      authentication: {
        ...hub.authentication,
        token: async (...parameters) => ({
          ...(await hub.authentication.token(...parameters)),
          expiresAt: Number.POSITIVE_INFINITY,
        }),
      },
    }),
  },
  {
    name: 'accept a command that is not stored',
    plan: { amqpBackEnds: 1, senders: 0 },
    commandQueue: (queue) => {
      let count = 0;
      return {
        ...queue,
        enqueue: async (command, ...more) =>
          ++count % 5 === 0 ? { kind: 'enqueued', sequence: 0 } : queue.enqueue(command, ...more),
      };
    },
  },
];

const TRANSFER = 0x14;
const DISPOSITION = 0x15;
const ATTACH = 0x12;
/** Place of the handle in a transfer that is to be settled. */
const HANDLE_AT = 21;

/** Frames that the hub writes go through `change`, made for each connection: true = the frame is lost. */
function rewritten(
  connections: AmqpConnections,
  change: () => (frame: Frame, bytes: Buffer) => boolean,
): AmqpConnections {
  return {
    ...connections,
    accept(stream, origin) {
      const changes = change();
      const write = stream.write.bind(stream) as (bytes: Buffer) => boolean;
      stream.write = ((bytes: Buffer) => {
        const kept = framesOf(bytes).filter((frame) => {
          const [input] = isHeader(frame) ? [] : readFrame(frame);
          return input === undefined || !changes(input, frame);
        });
        return kept.length === 0 || write(Buffer.concat(kept));
      }) as Duplex['write'];
      connections.accept(stream, origin);
    },
  };
}

const isHeader = (bytes: Buffer): boolean => bytes.toString('latin1', 0, 4) === 'AMQP';

/** A write holds whole frames and headers. */
function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = isHeader(bytes.subarray(at)) ? 8 : bytes.readUInt32BE(at);
    frames.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return frames;
}

function readFrame(bytes: Buffer): Frame[] {
  const splitter = new FrameSplitter(bytes.length);
  const header = Buffer.from('AMQP\0\x01\0\0', 'latin1');
  return [...splitter.push(Buffer.concat([header, bytes]))].filter((input) => input.kind === 'frame');
}

/** Commands of one device go over the newest link of any. */
function misdelivering(): (frame: Frame, bytes: Buffer) => boolean {
  const handles: number[] = [];
  return ({ code, fields }, bytes) => {
    if (code === ATTACH && String(fields[0]).startsWith('commands')) handles.push(Number(fields[1]));
    const newest = handles.at(-1);
    if (code !== TRANSFER || newest === undefined || !handles.includes(Number(fields[0]))) return false;
    bytes.writeUInt32BE(newest, HANDLE_AT);
    return false;
  };
}
