import { type AmqpValue, Described } from '../../../wire/amqp/values.ts';

/** What a peer asks for when it attaches a link, taken apart. */
export interface Attach {
  readonly name: string;
  readonly handle: number;
  /** True = the peer receives, so the hub sends. */
  readonly peerReceives: boolean;
  readonly sourceAddress: string | undefined;
  readonly targetAddress: string | undefined;
  /** `snd-settle-mode` and `rcv-settle-mode` as asked for: go-amqp takes no other answer. Absent = the defaults, 2 and 0. */
  readonly sndSettleMode: number;
  readonly rcvSettleMode: number;
  /** The peer wants, or will send, deliveries that are settled from the start (`snd-settle-mode` 1). */
  readonly wantsSettled: boolean;
  /** The peer's receiver awaits the sender's settlement before it settles (`rcv-settle-mode` 1). */
  readonly settlesSecond: boolean;
  readonly filter: ReadonlyMap<AmqpValue, AmqpValue>;
  readonly desiredCapabilities: readonly AmqpValue[];
  readonly properties: ReadonlyMap<AmqpValue, AmqpValue>;
  /** Both ends' bytes for the echo; undefined = absent. */
  readonly rawSource: Buffer | undefined;
  readonly rawTarget: Buffer | undefined;
}

const emptyMap: ReadonlyMap<AmqpValue, AmqpValue> = new Map();

/** Fields of an attach performative; those of the wrong type count as absent. @param raw gives a field's bytes */
export function readAttach(fields: readonly AmqpValue[], raw: (field: number) => Buffer): Attach {
  const source = terminus(fields[5]);
  const target = terminus(fields[6]);
  return {
    name: textOf(fields[0]) ?? '',
    handle: Number(fields[1]),
    peerReceives: fields[2] === true,
    sourceAddress: textOf(source?.[0]),
    targetAddress: textOf(target?.[0]),
    sndSettleMode: modeOf(fields[3], 2),
    rcvSettleMode: modeOf(fields[4], 0),
    wantsSettled: fields[3] === 1,
    settlesSecond: fields[4] === 1,
    filter: mapOf(owned(source?.[7])),
    desiredCapabilities: listOf(owned(fields[12])),
    properties: mapOf(owned(fields[13])),
    // Copies: a link lives long, and must not keep what else came with its attach.
    rawSource: source === undefined ? undefined : ownedBytes(raw(5)),
    rawTarget: target === undefined ? undefined : ownedBytes(raw(6)),
  };
}

/** The same value, with its bytes in memory of their own: a view of a few would keep the whole chunk in which they came. */
function owned(value: AmqpValue | undefined): AmqpValue | undefined {
  if (Buffer.isBuffer(value)) return ownedBytes(value);
  if (value instanceof Described) return new Described(owned(value.descriptor) ?? null, owned(value.value) ?? null);
  if (value instanceof Map) {
    return new Map([...value].map(([key, each]) => [owned(key) ?? null, owned(each) ?? null]));
  }
  return Array.isArray(value) ? value.map((each) => owned(each) ?? null) : value;
}

/** Not in the runtime's pool, of which a copy of a few bytes would keep 8 KiB. */
function ownedBytes(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** What is left of an attach when its link is over: the number by which the peer still speaks of it. */
export function forgotten({ handle, peerReceives, wantsSettled }: Attach): Attach {
  return {
    name: '',
    handle,
    peerReceives,
    wantsSettled,
    sndSettleMode: 2,
    rcvSettleMode: 0,
    settlesSecond: false,
    sourceAddress: undefined,
    targetAddress: undefined,
    filter: emptyMap,
    desiredCapabilities: [],
    properties: emptyMap,
    rawSource: undefined,
    rawTarget: undefined,
  };
}

function terminus(value: AmqpValue | undefined): readonly AmqpValue[] | undefined {
  return value instanceof Described && Array.isArray(value.value) ? value.value : undefined;
}

function modeOf(value: AmqpValue | undefined, absent: number): number {
  return value === 0 || value === 1 || value === 2 ? value : absent;
}

function textOf(value: AmqpValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function listOf(value: AmqpValue | undefined): readonly AmqpValue[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

function mapOf(value: AmqpValue | undefined): ReadonlyMap<AmqpValue, AmqpValue> {
  return value instanceof Map ? value : emptyMap;
}
