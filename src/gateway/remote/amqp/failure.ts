/** Why the hub cannot be used now; it is tried again. */
export type HubFailureKind =
  /** Nothing answers, or the connection was lost. */
  | 'unreachable'
  /** The hub does not take the gateway's policy. */
  | 'refused'
  /** The hub does not know gateways, or reads no batches of this one. */
  | 'unsupported'
  /** The gateway itself cannot go on, as with a disk that fails. */
  | 'own';

export class HubFailure extends Error {
  override readonly name = 'HubFailure';
  readonly kind: HubFailureKind;

  constructor(kind: HubFailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** What the hub says with a link, a session or a connection that it ends. */
export interface AmqpEnding {
  readonly condition: string;
  readonly description: string;
}

/** @param error Of a link, session or connection of the AMQP library */
export function endingOf(error: unknown): AmqpEnding {
  const { condition, description, message } = (error ?? {}) as Record<string, unknown>;
  return { condition: String(condition ?? ''), description: String(description ?? message ?? '') };
}

/** Of an ending that concerns the gateway as a whole. */
export function failureOf(ending: AmqpEnding, what: string): HubFailure {
  const { condition, description } = ending;
  if (condition === 'amqp:unauthorized-access') {
    const hint = 'it needs a policy with DeviceConnect for all devices, and a clock that is right';
    return new HubFailure('refused', `The hub refuses the gateway (${what}): ${hint}.`);
  }
  if (condition === 'amqp:not-found' || condition === 'amqp:not-implemented') {
    return new HubFailure('unsupported', `The hub knows no gateways (${what}): it is older than this one.`);
  }
  const told = [condition, description].filter(Boolean).join(': ');
  return new HubFailure('unreachable', `The hub has ended the ${what}${told && ` (${told})`}.`);
}
