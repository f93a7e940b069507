/** A command's trail as spans: `command` for the whole, and under it one a step, from the step before it. */
import type { Command, CommandMessage, CommandOutcome, TrailEntry } from '../commands/types.ts';
import type { HubError } from '../errors.ts';
import type { IdentityKey } from '../identity/types.ts';
import { clipped } from './concerned.ts';
import type { Span } from './spans.ts';
import { idOf, readTraceParent, traceParentOf } from './trace-context.ts';

/** Steps by the names that traces have for them; others keep their own. */
const names: Readonly<Partial<Record<TrailEntry['step'], string>>> = {
  'handed-over': 'delivered',
  'receipt-handed-over': 'receipt-delivered',
  'receipt-read': 'receipt',
};
const endings: Readonly<Record<CommandOutcome, true>> = {
  completed: true,
  rejected: true,
  expired: true,
  deliveryCountExceeded: true,
  purged: true,
};
const outcomes: ReadonlySet<string> = new Set(Object.keys(endings));

/** A command that has ended, up to its outcome: the whole first. @param trail as the store has it. */
export function commandSpans(hubName: string, command: Command, trail: readonly TrailEntry[]): readonly Span[] {
  const { state } = command;
  const end = endOf(trail);
  const [place, parentSpanId] = placeOf(hubName, command);
  const outcome = state.kind === 'ended' ? state.outcome : undefined;
  const whole: Span = {
    ...place,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name: 'command',
    kind: 'server',
    startTime: command.enqueuedTime,
    endTime: Math.max(command.enqueuedTime, state.kind === 'ended' ? state.endedTime : 0),
    attributes: {
      ...attributesOf(command.target, command.message),
      'mooring.sequence_number': command.sequence,
      'mooring.outcome': outcome,
      'mooring.delivery_count': command.deliveryCount,
      'mooring.handed_over': command.handedOver,
      'error.type': outcome === 'completed' ? undefined : outcome,
    },
    ...(outcome !== undefined && outcome !== 'completed' && { error: outcome }),
  };
  return [whole, ...stepSpans(place, command, trail, 0, end)];
}

/** What became of its receipt: the steps behind the outcome. */
export function receiptSpans(hubName: string, command: Command, trail: readonly TrailEntry[]): readonly Span[] {
  return stepSpans(placeOf(hubName, command)[0], command, trail, endOf(trail), trail.length);
}

/** A command that was not taken; it has no trail. @param id anything that no other one has. */
export function refusedCommandSpan(
  id: string,
  target: IdentityKey,
  message: CommandMessage,
  error: HubError,
  time: number,
): Span {
  const parent = readTraceParent(traceParentOf(message.properties));
  return {
    traceId: parent?.traceId ?? idOf(id, 16),
    spanId: idOf(id, 8),
    ...(parent !== undefined && { parentSpanId: parent.spanId }),
    name: 'command',
    kind: 'server',
    startTime: time,
    endTime: time,
    attributes: {
      ...attributesOf(target, message),
      'error.type': error.code,
      'mooring.reason': error.reason ?? error.limit?.name,
    },
    error: error.code,
  };
}

type Place = Pick<Span, 'traceId' | 'spanId'>;

/** The same from every look at the command: its sequence number is not used again in its generation. */
function placeOf(hubName: string, command: Command): readonly [Place, parentSpanId: string | undefined] {
  const { target, generationId, sequence, message } = command;
  const name = JSON.stringify([hubName, target.deviceId, target.moduleId ?? '', generationId, sequence]);
  const parent = readTraceParent(traceParentOf(message.properties));
  return [{ traceId: parent?.traceId ?? idOf(name, 16), spanId: idOf(name, 8) }, parent?.spanId];
}

/** Behind the outcome; the trail's end where there is none. */
function endOf(trail: readonly TrailEntry[]): number {
  const at = trail.findIndex(({ step }) => outcomes.has(step));
  return at === -1 ? trail.length : at + 1;
}

function stepSpans(
  place: Place,
  { target, message }: Command,
  trail: readonly TrailEntry[],
  from: number,
  to: number,
): readonly Span[] {
  return trail.slice(from, to).map((entry, at) => {
    const { step, time, detail } = entry;
    const before = trail[from + at - 1]?.time ?? time;
    const isOutcome = outcomes.has(step);
    const failed = isOutcome && step !== 'completed';
    return {
      traceId: place.traceId,
      // Not by its index: a long trail loses steps of its middle.
      spanId: idOf(`${place.spanId}/${step}/${time}/${trail.slice(0, from + at).filter(isLike(entry)).length}`, 8),
      parentSpanId: place.spanId,
      name: isOutcome ? 'settled' : (names[step] ?? step),
      kind: 'internal',
      // A clock that was set back does not make a span end before it begins.
      startTime: Math.min(before, time),
      endTime: time,
      attributes: {
        'mooring.device.id': target.deviceId,
        'mooring.module.id': target.moduleId,
        'messaging.message.id': message.messageId,
        'mooring.step': step,
        'mooring.detail': detail === '' ? undefined : clipped(detail),
        'network.protocol.name': step === 'handed-over' ? protocolOf(detail) : undefined,
      },
      ...(failed && { error: step }),
    };
  });
}

const isLike =
  ({ step, time }: TrailEntry) =>
  (other: TrailEntry): boolean =>
    other.step === step && other.time === time;

/** The connection's name begins with its protocol; a request by HTTP has none. */
const protocolOf = (holder: string): string =>
  /^(mqtt-ws|mqtt|amqp-ws|amqp|adapter:.+?(?=-[\da-f]{8}-))-/.exec(holder)?.[1] ?? 'http';

function attributesOf(target: IdentityKey, { messageId, correlationId, ack }: CommandMessage): Span['attributes'] {
  return {
    'mooring.device.id': target.deviceId,
    'mooring.module.id': target.moduleId,
    'messaging.message.id': messageId,
    'messaging.message.conversation_id': correlationId === undefined ? undefined : clipped(correlationId),
    'mooring.ack': ack,
  };
}
