import { randomUUID } from 'node:crypto';
import type { EventContext, Message, Receiver, Sender, Session } from 'rhea';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { Refused, type RefusedCode } from '../../refused.ts';
import type { JsonObject, Twin } from '../../types.ts';
import { bodyOf, jsonOf, textOf } from './messages.ts';

export interface TwinLinkParts {
  readonly session: Session;
  readonly clock: Clock;
  /** Address of the device's twin. */
  readonly address: string;
  readonly properties: Readonly<Record<string, string>>;
  desired(patch: JsonObject, version: number): void;
}

interface Answer {
  readonly status: number;
  readonly version: number | undefined;
  readonly message: Message;
}

const REPORTED = '/properties/reported';
const DESIRED = '/notifications/twin/properties/desired';

/** The pair of links on which a device reads its twin, reports, and hears of desired properties (device reference 3.6). */
export class TwinLink {
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly #parts: TwinLinkParts;
  readonly #waiting = new Map<string, { resolve(answer: Answer): void; reject(error: Error): void }>();
  #isOver = false;

  constructor(parts: TwinLinkParts) {
    this.#parts = parts;
    const { session, address } = parts;
    const properties = { ...parts.properties, 'com.microsoft:channel-correlation-id': randomUUID() };
    const options = { properties, snd_settle_mode: 1, rcv_settle_mode: 0 } as const;
    this.receiver = session.open_receiver({ ...options, source: { address }, credit_window: 32 });
    this.sender = session.open_sender({ ...options, snd_settle_mode: 0, target: { address } });
    this.receiver.on('message', ({ message }: EventContext) => this.#received(message as Message));
  }

  /** Resolves with the whole. @throws Refused */
  async read(): Promise<Twin> {
    const { message } = await this.#ask({ operation: 'GET' }, undefined);
    const { desired = {}, reported = {} } = jsonOf(message) as Record<string, Record<string, unknown> | undefined>;
    return { desired: own(desired), desiredVersion: Number(desired.$version ?? 0), reported: own(reported) };
  }

  /** Resolves with the version of the reported properties. @throws Refused */
  async report(patch: JsonObject): Promise<number> {
    const { version } = await this.#ask({ operation: 'PATCH', resource: REPORTED }, JSON.stringify(patch));
    return version ?? 0;
  }

  /** Every change of desired properties that is made from then on is told. @throws Refused */
  async subscribe(): Promise<void> {
    await this.#ask({ operation: 'PUT', resource: DESIRED }, undefined);
  }

  over(): void {
    this.#isOver = true;
    for (const { reject } of this.#waiting.values()) reject(unreachable());
    this.#waiting.clear();
  }

  #ask(annotations: Readonly<Record<string, string>>, body: string | undefined): Promise<Answer> {
    if (this.#isOver) return Promise.reject(unreachable());
    const id = randomUUID();
    return new Promise<Answer>((resolve, reject) => {
      const cancel = this.#parts.clock.after(limits.gatewayAnswerMs, () => {
        this.#waiting.delete(id);
        reject(unreachable());
      });
      this.#waiting.set(id, {
        resolve(answer) {
          cancel();
          if (answer.status >= 200 && answer.status < 300) resolve(answer);
          else reject(refusalOf(answer));
        },
        reject(error) {
          cancel();
          reject(error);
        },
      });
      const message = { correlation_id: id, message_annotations: annotations, body: Buffer.from(body ?? '') };
      this.sender.send(message as unknown as Message);
    });
  }

  #received(message: Message): void {
    const annotations = (message.message_annotations ?? {}) as Record<string, unknown>;
    const version = annotations.version === undefined ? undefined : Number(annotations.version);
    const id = textOf(message.correlation_id);
    if (id === undefined) {
      if (annotations.resource === DESIRED) this.#parts.desired(own(jsonOf(message) as JsonObject), version ?? 0);
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.resolve({ status: Number(annotations.status ?? 0), version, message });
  }
}

/** Without what the hub says of them. */
function own(properties: JsonObject): JsonObject {
  const { $version, $metadata, ...rest } = properties;
  return rest;
}

const unreachable = (): Refused => new Refused('unreachable', 'The hub cannot be reached.');

const codes: Readonly<Record<number, RefusedCode>> = { 401: 'unauthorized', 413: 'tooLarge', 429: 'throttled' };

function refusalOf({ status, message }: Answer): Refused {
  let text = `The hub answered ${status}.`;
  try {
    const told = JSON.parse(bodyOf(message).toString('utf8')) as { message?: unknown };
    if (typeof told.message === 'string') text = told.message;
  } catch {
    // The status says enough.
  }
  return new Refused(codes[status] ?? (status >= 500 ? 'unreachable' : 'invalid'), text);
}
