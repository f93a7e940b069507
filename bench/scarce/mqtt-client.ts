/** MQTT 3.1.1 over any stream: one packet out, one packet in. */
import type { Duplex } from 'node:stream';
import mqttPacket, { type Packet } from 'mqtt-packet';

export class MqttClient {
  readonly #stream: Duplex;
  readonly #waiting: ((packet: Packet) => void)[] = [];
  #id = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    parser.on('packet', (packet) => this.#waiting.shift()?.(packet));
    stream.on('data', (bytes: Buffer) => parser.parse(bytes));
    stream.on('error', () => {});
  }

  async connect(clientId: string, username: string, password: string, keepalive: number): Promise<void> {
    const answer = await this.#ask({
      ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true },
      ...{ clientId, username, password: Buffer.from(password), keepalive },
    });
    if (answer.cmd !== 'connack' || answer.returnCode !== 0) throw new Error(`not let in: ${JSON.stringify(answer)}`);
  }

  async publish(topic: string, payload: string): Promise<void> {
    const messageId = ++this.#id;
    const answer = await this.#ask({ cmd: 'publish', qos: 1, dup: false, retain: false, topic, payload, messageId });
    if (answer.cmd !== 'puback') throw new Error(`no PUBACK: ${answer.cmd}`);
  }

  async ping(): Promise<void> {
    await this.#ask({ cmd: 'pingreq' });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#stream.once('close', () => resolve()));
    this.#stream.end(mqttPacket.generate({ cmd: 'disconnect' }));
    await closed;
  }

  #ask(packet: Packet): Promise<Packet> {
    const answer = new Promise<Packet>((resolve) => this.#waiting.push(resolve));
    this.#stream.write(mqttPacket.generate(packet));
    return answer;
  }
}
