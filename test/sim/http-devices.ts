/** Devices that send telemetry by HTTP, one message or a batch, and again until they are answered. */
import { HubError } from '../../src/core/errors.ts';
import type { Parts } from './back-ends.ts';
import type { DeviceCredential } from './directory.ts';
import { HttpClient } from './http-client.ts';
import { deviceCaller } from './http-service-door.ts';
import { NoAnswer } from './hub-host.ts';
import type { Dice } from './world.ts';

const BATCH_TYPE = 'application/vnd.microsoft.iothub.json';

interface Message {
  readonly name: string;
  readonly body: string;
  readonly kind: string | undefined;
}

/** What one request carries. */
interface Unit {
  readonly messages: readonly Message[];
  readonly isBatch: boolean;
}

export class HttpDevices {
  readonly #parts: Parts;
  readonly #dice: Dice;
  readonly #client: HttpClient;
  /** By device: what has had no answer, which must come before anything else. */
  readonly #unanswered = new Map<string, Unit>();
  #count = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#dice = parts.world.dice('telemetry by HTTP');
    this.#client = new HttpClient(parts.world, parts.host, 'telemetry');
  }

  get isDone(): boolean {
    return this.#unanswered.size === 0;
  }

  async live(): Promise<void> {
    const { world, directory } = this.#parts;
    while (!world.over && !(world.calm && this.isDone)) {
      await world.scheduler.sleep(this.#dice.wait(400));
      const id = world.calm ? this.#unanswered.keys().next().value : this.#dice.pick(directory.ids);
      if (id === undefined) continue;
      const credential = directory.credentials(id).at(-1);
      if (credential !== undefined) await this.#send(id, credential, this.#unanswered.get(id) ?? this.#unit(id));
    }
  }

  async #send(id: string, credential: DeviceCredential, unit: Unit): Promise<void> {
    const { world, checkers } = this.#parts;
    for (const { name, body, kind } of unit.messages) {
      checkers.events.sent(name, body, kind, credential.generationId);
    }
    this.#unanswered.set(id, unit);
    try {
      const path = `/devices/${id}/messages/events`;
      await deviceCaller(world, this.#client, id, credential)({ method: 'POST', path, ...contentOf(unit) });
      for (const { name } of unit.messages) checkers.events.acknowledged(name);
      this.#unanswered.delete(id);
    } catch (error) {
      // Refused is refused: what the device sends then is another message.
      if (error instanceof HubError) this.#unanswered.delete(id);
      else if (!(error instanceof NoAnswer)) throw error;
    }
  }

  #unit(id: string): Unit {
    const dice = this.#dice;
    const isBatch = dice.chance(0.4);
    const messages = Array.from({ length: isBatch ? dice.between(1, 8) : 1 }, () => {
      const name = `${id}.http:${this.#count++}`;
      return { name, body: `${name}|${'.'.repeat(dice.between(0, 400))}`, kind: dice.pick([undefined, 'a', 'b']) };
    });
    return { messages, isBatch };
  }
}

function contentOf({ messages, isBatch }: Unit) {
  if (!isBatch) {
    const [{ body, kind }] = messages;
    const headers: (readonly [string, string])[] = kind === undefined ? [] : [['iothub-app-kind', kind]];
    return { headers, body: Buffer.from(body) };
  }
  const items = messages.map(({ body, kind }) => ({
    body: Buffer.from(body).toString('base64'),
    properties: kind === undefined ? {} : { 'iothub-app-kind': kind },
  }));
  return { headers: [['Content-Type', BATCH_TYPE]] as const, body: Buffer.from(JSON.stringify(items)) };
}
