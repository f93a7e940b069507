/** A device that reports one number after the other, and knows which of them the hub has acknowledged, across losses of every kind. */
import assert from 'node:assert/strict';
import type { PublisherLogin } from '../../bench/load/publisher.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

export class TwinReporter {
  readonly #login: PublisherLogin;
  /** The last number that was sent, and the last one that was acknowledged. */
  #sent = 0;
  acknowledged = 0;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();
  #client: MqttDriver | undefined;

  constructor(login: PublisherLogin) {
    this.#login = login;
  }

  /** Connects, compares what is there with what was acknowledged, and reports until it is refused, cut off or stopped. */
  async start(port: number): Promise<void> {
    const { clientId, username, password } = this.#login;
    this.#isStopped = false;
    const { client, returnCode } = await MqttDriver.connect(
      { port },
      { clientId, username, password: Buffer.from(password) },
    );
    assert.equal(returnCode, 0);
    this.#client = client;
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/twin/res/#', qos: 0 }] });
    await client.next('suback');
    client.publish({ topic: '$iothub/twin/GET/?$rid=get' });
    const { reported } = JSON.parse((await client.next('publish')).payload.toString());
    const kept = reported.n ?? 0;
    const { acknowledged } = this;
    assert.ok(kept >= acknowledged, `${clientId}: ${acknowledged} was acknowledged, and the twin has ${kept}`);
    assert.ok(kept <= this.#sent, `${clientId}: the twin has ${kept}, and ${this.#sent} was the last that was sent`);
    assert.equal(reported.$version, kept + 1, `${clientId}: each patch is one version`);
    this.#sent = kept;
    this.acknowledged = kept;
    this.#running = this.#report(client);
  }

  async #report(client: MqttDriver): Promise<void> {
    try {
      while (!this.#isStopped) {
        this.#sent++;
        const payload = JSON.stringify({ n: this.#sent });
        client.publish({ topic: `$iothub/twin/PATCH/properties/reported/?$rid=${this.#sent}`, payload });
        const { topic } = await client.next('publish');
        // What is refused may have been done: what the twin has is looked at when it connects again.
        if (!topic.startsWith('$iothub/twin/res/204/')) return;
        assert.equal(topic, `$iothub/twin/res/204/?$rid=${this.#sent}&$version=${this.#sent + 1}`);
        this.acknowledged = this.#sent;
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
    } finally {
      client.destroy();
    }
  }

  /** @throws AssertionError it was told something wrong */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#client?.destroy();
    await this.#running;
  }
}
