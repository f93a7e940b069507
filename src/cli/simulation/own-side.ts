/** What a simulated device does beside sending telemetry, over the same connection: it reports, and answers methods (device reference 2.5 to 2.7). */
import mqtt from 'mqtt-packet';

/** What it is to do. */
export interface OwnSideOptions {
  readonly reports: boolean;
  readonly answersMethods: boolean;
}

export interface OwnSideEvents {
  /** A reported patch was answered: whether the hub took it. */
  reported(isAccepted: boolean): void;
  methodAnswered(): void;
}

const METHOD = /^\$iothub\/methods\/POST\/[^/]+\/\?\$rid=(.+)$/;
const REPORTED = /^\$iothub\/twin\/res\/(\d+)\/\?\$rid=([^&]+)/;
const REPORT_TOPIC = '$iothub/twin/PATCH/properties/reported/?$rid=';
const OK = 204;

export class OwnSide {
  readonly #options: OwnSideOptions;
  readonly #events: OwnSideEvents;
  /** Of the reports that wait for an answer. */
  readonly #open = new Set<string>();
  #reports = 0;

  constructor(options: OwnSideOptions, events: OwnSideEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** SUBSCRIBE of a new connection; undefined = there is nothing to hear. What the last one was not answered is not known. */
  begin(packetId: number): Buffer | undefined {
    this.#open.clear();
    const topics = [
      ...(this.#options.reports ? ['$iothub/twin/res/#'] : []),
      ...(this.#options.answersMethods ? ['$iothub/methods/POST/#'] : []),
    ];
    if (topics.length === 0) return undefined;
    const subscriptions = topics.map((topic) => ({ topic, qos: 0 as const }));
    return mqtt.generate({ cmd: 'subscribe', messageId: packetId, subscriptions });
  }

  /** Reports that were sent on this connection and not answered. */
  get unanswered(): number {
    return this.#open.size;
  }

  /** A patch of two values: how often it has reported, and when. @param time UTC milliseconds */
  report(time: number): Buffer {
    const rid = String(++this.#reports);
    this.#open.add(rid);
    return publish(REPORT_TOPIC + rid, JSON.stringify({ reports: this.#reports, time: new Date(time).toISOString() }));
  }

  /** Something was published to the device. @returns what it answers */
  heard(topic: string, payload: Buffer): Buffer | undefined {
    const reported = REPORTED.exec(topic);
    if (reported !== null) {
      if (this.#open.delete(reported[2])) this.#events.reported(Number(reported[1]) === OK);
      return undefined;
    }
    const rid = METHOD.exec(topic)?.[1];
    if (rid === undefined) return undefined;
    this.#events.methodAnswered();
    return publish(`$iothub/methods/res/200/?$rid=${rid}`, payload);
  }
}

function publish(topic: string, payload: string | Buffer): Buffer {
  return mqtt.generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });
}
