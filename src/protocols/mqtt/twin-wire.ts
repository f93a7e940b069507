/**
 * The twin and the methods of one MQTT connection (device reference 2.5 and 2.6): requests of the device and their answers, changes of
 * desired properties, methods. Made when one of them is used: an idle connection that has subscribed to nothing has none.
 */
import { limits } from '../../base/limits.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import { asHubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { MethodReceiver, type MethodWire } from '../../core/methods/receiver.ts';
import type { MethodCall } from '../../core/methods/types.ts';
import type { DesiredText } from '../../core/twins/ports.ts';
import { DesiredPushes, type DesiredWire } from '../../core/twins/pushes.ts';
import { readReportedPatch } from '../../core/twins/rules.ts';
import type { DesiredTold } from '../../core/twins/types.ts';
import { publishAtMostOnce } from '../../wire/mqtt/encode.ts';
import { desiredTopic, methodTopic, twinResponseTopic } from './addresses.ts';
import type { Link } from './link.ts';
import { twinRefusal } from './refusals.ts';

/** What the wire needs of its connection. */
export interface TwinConnection {
  readonly hub: Pick<Hub, 'twins' | 'clock' | 'random' | 'log'>;
  readonly device: DeviceConnection;
  readonly link: Pick<Link, 'congested'>;
  readonly closed: boolean;
  isSubscribed(kind: 'twinResponses' | 'twinDesired' | 'methods'): boolean;
  write(bytes: Buffer): void;
  /** So many requests of the device wait for the store that no more are taken; false = no longer. */
  holdRequests(isFull: boolean): void;
  twinFailed(error: unknown): void;
}

export class TwinWire implements DesiredWire, MethodWire {
  readonly #connection: TwinConnection;
  #requests = 0;
  #pushes: DesiredPushes | undefined;
  #methods: MethodReceiver | undefined;

  constructor(connection: TwinConnection) {
    this.#connection = connection;
  }

  /** Requests of the device that are not answered yet. */
  get requests(): number {
    return this.#requests;
  }

  get twins(): Hub['twins'] {
    return this.#connection.hub.twins;
  }

  get principal() {
    return this.#connection.device.principal;
  }

  /** The device reads its twin. */
  get(requestId: string): void {
    this.#answer(requestId, async () => {
      const text = await this.twins.readOwn(this.principal, this.#connection.device.key);
      return publishAtMostOnce(twinResponseTopic(200, requestId), Buffer.from(text));
    });
  }

  /** The device reports. @param payload is read before this returns */
  patch(requestId: string, payload: Uint8Array, ifVersion: number | undefined): void {
    this.#answer(requestId, async () => {
      const patch = readReportedPatch(payload, ifVersion);
      const version = await this.twins.report(this.principal, this.#connection.device.key, patch);
      return publishAtMostOnce(`${twinResponseTopic(204, requestId)}&$version=${version}`, NOTHING);
    });
  }

  /** The device subscribes to its desired properties. Nothing is pushed before that is granted, which may be when this resolves. */
  subscribe(): Promise<void> {
    this.#pushes ??= new DesiredPushes(this);
    return this.#pushes.begun;
  }

  unsubscribe(): void {
    this.#pushes?.close();
    this.#pushes = undefined;
  }

  desiredChanged(told: DesiredTold): void {
    this.#pushes?.note(told);
  }

  get methods(): MethodReceiver {
    const { clock, random } = this.#connection.hub;
    this.#methods ??= new MethodReceiver(clock, random, this);
    return this.#methods;
  }

  methodAnswered(id: number, status: number, payload: Uint8Array): void {
    this.#methods?.answered(id, status, payload);
  }

  /** The device listens to something more, or reads again. */
  proceed(): void {
    this.#pushes?.proceed();
    this.#methods?.proceed();
  }

  close(): void {
    this.#pushes?.close();
  }

  hasSpace(): boolean {
    return !this.#connection.closed && !this.#connection.link.congested;
  }

  listens(): boolean {
    return this.#connection.isSubscribed('methods');
  }

  write(patch: DesiredText): boolean;
  write(id: number, call: MethodCall): boolean;
  write(what: DesiredText | number, call?: MethodCall): boolean {
    if (typeof what !== 'number') {
      if (!this.#connection.isSubscribed('twinDesired')) return false;
      this.#connection.write(publishAtMostOnce(desiredTopic(what.version), Buffer.from(what.text)));
    } else if (call !== undefined) {
      const payload = call.payload === undefined ? NOTHING : Buffer.from(call.payload);
      this.#connection.write(publishAtMostOnce(methodTopic(call.name, what), payload));
    }
    return true;
  }

  failed(error: unknown): void {
    this.#connection.twinFailed(error);
  }

  /** Answers in whatever order; each request has its place among those that wait. One without an id has no answer. */
  #answer(requestId: string, work: () => Promise<Buffer>): void {
    if (++this.#requests >= limits.mqttTwinRequestsMax) this.#connection.holdRequests(true);
    const { hub } = this.#connection;
    work()
      .catch((error: unknown) => {
        const refusal = asHubError(error);
        if (refusal.code === 'ServerError')
          hub.log.error({ identity: this.#connection.device.name, error }, 'a twin request failed');
        return twinRefusal(refusal, requestId, hub);
      })
      .then((answer) => {
        this.#requests--;
        if (this.#connection.closed) return;
        if (requestId !== '' && this.#connection.isSubscribed('twinResponses')) this.#connection.write(answer);
        this.#connection.holdRequests(false);
      });
  }
}

const NOTHING = Buffer.alloc(0);
