/**
 * Load over every protocol, with a memory: telemetry by MQTT, HTTP and AMQP, commands sent, taken, completed and their
 * receipts read, registry writes. What the hub acknowledged is noted in the moment it did, and `check` compares it with
 * what the hub knows later. Numbers of messages are never used twice.
 */
import assert from 'node:assert/strict';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import rhea from 'rhea';
import type { PublisherLogin } from '../../bench/load/publisher.ts';
import { createDevices } from '../../bench/servers/hub.ts';
import type { ApiClient } from '../../src/api/client.ts';
import type { Endpoints } from '../../src/api/endpoints.ts';
import { seededRandom } from '../../src/base/random.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { apiOf } from '../drivers/api.ts';
import { readToEnd } from './event-reader.ts';
import { KillPublisher } from './kill-publisher.ts';

export interface LoadHub {
  readonly endpoints: Endpoints;
  readonly ca: string;
}

export interface LoadShape {
  readonly mqtt: number;
  readonly http: number;
  readonly amqp: number;
  readonly commands: number;
  readonly registry: number;
  /** Milliseconds between two acts of one worker; 0 = at once. At 0 MQTT devices keep many in flight. */
  readonly paceMs?: number;
}

/** Acknowledged, by kind. */
export interface LoadCounts {
  mqttTelemetry: number;
  httpTelemetry: number;
  amqpTelemetry: number;
  commandsSent: number;
  commandsCompleted: number;
  receiptsRead: number;
  registryWrites: number;
  refused: number;
}

type Tracked = 'sent' | 'acknowledged';

/** What a registry worker knows of its device: the state after the last acknowledged write, and one that may be. */
interface RegistryKnown {
  acknowledged: string | undefined;
  attempted: string | undefined | 'none';
}

interface CommandKnown {
  readonly deviceId: string;
  sent: boolean;
  /** The device was told that it is complete. */
  completed: boolean;
  completing: boolean;
  receipts: number;
  /** The back end was told that the receipt is done with. */
  receiptDone: boolean;
}

const ABSENT = 'absent';
/** Between two questions for a command where there was none; with a pace, that. */
const POLL_MS = 5;
/** Commands whose life is over that one check looks at, drawn from all of them: each is a request. */
const DONE_LOOKED_AT_MAX = 2000;

export class MixedLoad {
  readonly counts: LoadCounts = {
    mqttTelemetry: 0,
    httpTelemetry: 0,
    amqpTelemetry: 0,
    commandsSent: 0,
    commandsCompleted: 0,
    receiptsRead: 0,
    registryWrites: 0,
    refused: 0,
  };
  /** Events that were read back and compared. */
  eventsRead = 0;
  readonly #shape: LoadShape;
  readonly #random: ReturnType<typeof seededRandom>;
  readonly #logins: readonly PublisherLogin[];
  readonly #publishers: readonly KillPublisher[];
  /** Telemetry by HTTP and AMQP: device -> fate of each number. */
  readonly #sent = new Map<string, Tracked[]>();
  readonly #stored = new Map<string, Set<number>>();
  readonly #lastSequence = new Map<string, number>();
  readonly #commands = new Map<string, CommandKnown>();
  readonly #registry = new Map<string, RegistryKnown>();
  #commandNumber = 0;
  #running = false;
  #mayBreak = false;
  readonly #failures: unknown[] = [];
  #workers: Promise<void>[] = [];
  #agent = new https.Agent();

  private constructor(shape: LoadShape, seed: number, logins: readonly PublisherLogin[]) {
    this.#shape = shape;
    this.#random = seededRandom(seed);
    this.#logins = logins;
    this.#publishers = logins.slice(0, shape.mqtt).map((login) => new KillPublisher(login, seed, shape.paceMs));
    for (let at = 0; at < shape.registry; at++) {
      this.#registry.set(`registry-${at}`, { acknowledged: undefined, attempted: 'none' });
    }
  }

  /** Creates the devices of the load. */
  static async prepare(hub: LoadHub, shape: LoadShape, seed: number): Promise<MixedLoad> {
    const count = shape.mqtt + shape.http + shape.amqp + shape.commands;
    return new MixedLoad(shape, seed, await createDevices(hub.endpoints, hub.ca, count, ''));
  }

  /** Starts all workers. Each goes on until `stop`, or, where the hub is to be killed, until its connection breaks. */
  async start(hub: LoadHub, mayBreak: boolean): Promise<void> {
    this.#mayBreak = mayBreak;
    this.#running = true;
    this.#agent = new https.Agent({ keepAlive: true, ca: hub.ca });
    const { mqtt, http, amqp, commands } = this.#shape;
    const at = (from: number, count: number) => this.#logins.slice(from, from + count);
    await Promise.all(this.#publishers.map((publisher) => publisher.start(hub.endpoints.ports.mqtt as number)));
    const work = (each: Promise<void>): void =>
      void this.#workers.push(each.catch((error: unknown) => this.#ended(error)));
    for (const login of at(mqtt, http)) work(this.#sendByHttp(hub, login));
    for (const login of at(mqtt + http, amqp)) work(this.#sendByAmqp(hub, login));
    const command = at(mqtt + http + amqp, commands);
    for (const login of command) {
      work(this.#sendCommands(hub, login.clientId));
      work(this.#takeCommands(hub, login));
    }
    if (command.length > 0) work(this.#readReceipts(hub));
    for (const deviceId of this.#registry.keys()) work(this.#writeRegistry(hub, deviceId));
  }

  /** Telemetry messages that were acknowledged, by all protocols. */
  acknowledgedTelemetry(): number {
    const mqtt = this.#publishers.reduce((sum, each) => sum + each.acknowledgedCount, 0);
    return mqtt + this.counts.httpTelemetry + this.counts.amqpTelemetry;
  }

  /** Everything that was acknowledged so far. */
  acknowledged(): number {
    const { commandsSent, commandsCompleted, receiptsRead, registryWrites } = this.counts;
    return this.acknowledgedTelemetry() + commandsSent + commandsCompleted + receiptsRead + registryWrites;
  }

  /** Ends the load in order: what is under way is waited for. */
  async stop(how: 'finish' | 'cut' | 'killed'): Promise<void> {
    this.#running = false;
    if (how !== 'finish') this.#agent.destroy();
    if (how === 'cut') for (const publisher of this.#publishers) publisher.cut();
    await Promise.all(this.#publishers.map((each) => (how === 'finish' ? each.finish() : each.ended())));
    await Promise.all(this.#workers);
    this.#agent.destroy();
    this.#workers = [];
    this.counts.mqttTelemetry = this.acknowledgedTelemetry() - this.counts.httpTelemetry - this.counts.amqpTelemetry;
  }

  /** A worker whose connection broke ends quietly; one that was told something wrong does not. */
  #ended(error: unknown): void {
    if (error instanceof assert.AssertionError || !this.#mayBreak) this.#failures.push(error);
  }

  /** @throws AssertionError when a worker was told something wrong, or broke off. */
  assertGood(when: string): void {
    assert.deepEqual(this.#failures, [], when);
  }

  /** Everything acknowledged so far against what the hub tells. */
  async check(hub: LoadHub, when: string): Promise<void> {
    this.assertGood(when);
    await this.readEvents(hub, when);
    this.#checkStored(when);
    await withApi(hub, async (api) => {
      await this.#checkRegistry(api, when);
      await this.#checkCommands(api, when);
    });
  }

  async #sendByHttp(hub: LoadHub, login: PublisherLogin): Promise<void> {
    const path = `/devices/${login.clientId}/messages/events?api-version=2020-03-13`;
    const fates = this.#fates(login.clientId);
    while (this.#running) {
      const n = fates.push('sent') - 1;
      const headers = { authorization: login.password, 'iothub-app-n': String(n) };
      const { status } = await this.#request(hub, 'POST', path, headers, textOf(login.clientId, n));
      if (status === 204) {
        fates[n] = 'acknowledged';
        this.counts.httpTelemetry++;
      } else await this.#refused();
      await this.#pause();
    }
  }

  async #sendByAmqp(hub: LoadHub, login: PublisherLogin): Promise<void> {
    const client = await AmqpDriver.connect(hub.endpoints.ports.amqp as number);
    const { clientId, password } = login;
    const host = login.username.split('/')[0];
    const put = await client.putToken(password, `${host}/devices/${clientId}`);
    assert.equal(put.application_properties?.['status-code'], 200);
    const attached = async () => {
      const link = client.send(`/devices/${clientId}/messages/events`);
      await link.opened();
      return link;
    };
    let sender = await attached();
    const fates = this.#fates(clientId);
    const broken = client.ended.then(() => 'broken' as const);
    while (this.#running) {
      const n = fates.push('sent') - 1;
      const body = rhea.message.data_section(Buffer.from(textOf(clientId, n)));
      const message = { application_properties: { n: String(n) }, body } as never;
      const outcome = await Promise.race([sender.outcome(message), broken]);
      if (outcome === 'broken') return;
      if (outcome === 'accepted') {
        fates[n] = 'acknowledged';
        this.counts.amqpTelemetry++;
      } else {
        await this.#refused();
        // The hub ends the link when it cannot store.
        const again = await Promise.race([sender.ending().then(attached), broken]);
        if (again === 'broken') return;
        sender = again;
      }
      await this.#pause();
    }
    await client.close();
  }

  async #sendCommands(hub: LoadHub, deviceId: string): Promise<void> {
    await withApi(hub, async (api) => {
      while (this.#running) {
        const messageId = `c${this.#commandNumber++}`;
        const known = { deviceId, sent: false, completed: false, completing: false, receipts: 0, receiptDone: false };
        this.#commands.set(messageId, known);
        try {
          await api.commands.send({ deviceId }, { messageId, bodyText: `body of ${messageId}`, ack: 'full' });
          known.sent = true;
          this.counts.commandsSent++;
        } catch (error) {
          // A full queue is an answer too: its device is behind.
          if (!isAnswer(error)) throw error;
          await this.#refused();
        }
        await this.#pause();
      }
    });
  }

  async #takeCommands(hub: LoadHub, login: PublisherLogin): Promise<void> {
    const headers = { authorization: login.password };
    while (this.#running) {
      if (!(await this.#takeOne(hub, login.clientId, headers))) await sleep(Math.max(POLL_MS, this.#shape.paceMs ?? 0));
    }
  }

  /** One command by HTTP, completed. False when there is none. */
  async #takeOne(hub: LoadHub, deviceId: string, headers: Record<string, string>): Promise<boolean> {
    const path = `/devices/${deviceId}/messages/devicebound`;
    const version = '?api-version=2020-03-13';
    const taken = await this.#request(hub, 'GET', `${path}${version}`, headers);
    if (taken.status !== 200) return false;
    const messageId = String(taken.headers['iothub-messageid']);
    const known = this.#commands.get(messageId);
    assert.ok(known !== undefined && known.deviceId === deviceId, `${messageId} was never sent to ${deviceId}`);
    assert.equal(taken.body, `body of ${messageId}`);
    assert.ok(!known.completed, `${messageId} was completed and came again`);
    const token = encodeURIComponent(String(taken.headers.etag).replaceAll('"', ''));
    known.completing = true;
    const done = await this.#request(hub, 'DELETE', `${path}/${token}${version}`, headers);
    if (done.status === 204) {
      known.completed = true;
      this.counts.commandsCompleted++;
    }
    return true;
  }

  async #readReceipts(hub: LoadHub): Promise<void> {
    await withApi(hub, async (api) => {
      // The hub waits up to 15 s for receipts, longer than the end of a load should.
      while (this.#running) {
        const awaited = this.counts.commandsCompleted > this.counts.receiptsRead;
        if (!awaited || !(await this.#takeReceipts(api))) await sleep(Math.max(20, this.#shape.paceMs ?? 0));
      }
    });
  }

  async #takeReceipts(api: ApiClient): Promise<boolean> {
    const batch = await api.commands.takeReceipts();
    if (batch === undefined) return false;
    const named: CommandKnown[] = [];
    for (const { originalMessageId, statusCode, deviceId } of batch.receipts) {
      const known = this.#commands.get(String(originalMessageId));
      assert.ok(known !== undefined && known.deviceId === deviceId, `a receipt of ${originalMessageId}`);
      assert.ok(!known.receiptDone, `the receipt of ${originalMessageId} was done with and came again`);
      assert.ok(statusCode === 'Success' && known.completing, `${originalMessageId}: ${statusCode}`);
      named.push(known);
    }
    await api.commands.completeReceipts(batch.lockToken);
    for (const known of named) {
      known.receipts++;
      known.receiptDone = true;
    }
    this.counts.receiptsRead += named.length;
    return true;
  }

  async #writeRegistry(hub: LoadHub, deviceId: string): Promise<void> {
    const known = this.#registry.get(deviceId) as RegistryKnown;
    await withApi(hub, async (api) => {
      while (this.#running) {
        const exists = known.acknowledged !== undefined;
        const reason = `reason ${Math.floor(this.#random.next() * 1e9)}`;
        const remove = exists && this.#random.next() < 0.2;
        known.attempted = remove ? undefined : reason;
        try {
          if (remove) await api.devices.delete(deviceId);
          else if (exists) await api.devices.update(deviceId, { status: 'disabled', statusReason: reason });
          else await api.devices.create(deviceId, { status: 'disabled', statusReason: reason });
        } catch (error) {
          if (!isAnswer(error) || this.#unavailable(error)) throw error;
          throw new Error(`${deviceId}: ${String(error)}`);
        }
        known.acknowledged = known.attempted;
        known.attempted = 'none';
        this.counts.registryWrites++;
        await this.#pause();
      }
    });
  }

  #unavailable(error: unknown): boolean {
    this.counts.refused++;
    return (error as { status?: number }).status === 503;
  }

  /** Reads what is new in the event hub: nothing twice, nothing that was never sent, no gap. The load may go on. */
  async readEvents(hub: LoadHub, when: string): Promise<void> {
    const byId = new Map(this.#publishers.map((publisher) => [publisher.deviceId, publisher]));
    const { ports, connectionStrings } = hub.endpoints;
    const place = { port: ports.amqp as number, connectionString: connectionStrings.eventHubsEmulator };
    await readToEnd(place, this.#lastSequence, ({ partition, sequence, deviceId, properties, body }) => {
      assert.equal(sequence, (this.#lastSequence.get(partition) ?? -1) + 1, `${when}: partition ${partition}`);
      this.#lastSequence.set(partition, sequence);
      this.eventsRead++;
      const n = Number(properties.n);
      const fate = byId.get(deviceId)?.fate(n) ?? this.#sent.get(deviceId)?.[n];
      assert.ok(fate !== undefined, `${when}: message ${properties.n} of ${deviceId} was never sent`);
      if (!byId.has(deviceId)) assert.equal(body.toString(), textOf(deviceId, n));
      const stored = this.#stored.get(deviceId) ?? new Set();
      assert.ok(!stored.has(n), `${when}: message ${n} of ${deviceId} is there twice`);
      this.#stored.set(deviceId, stored.add(n));
    });
  }

  #checkStored(when: string): void {
    const acknowledged = new Map(this.#publishers.map((each) => [each.deviceId, each.acknowledgedNumbers()]));
    for (const [deviceId, fates] of this.#sent) {
      acknowledged.set(
        deviceId,
        [...fates.keys()].filter((n) => fates[n] === 'acknowledged'),
      );
    }
    for (const [deviceId, numbers] of acknowledged) {
      const lost = numbers.filter((n) => !this.#stored.get(deviceId)?.has(n));
      assert.deepEqual(lost, [], `${when}: acknowledged messages of ${deviceId} are missing`);
    }
  }

  async #checkRegistry(api: ApiClient, when: string): Promise<void> {
    for (const [deviceId, known] of this.#registry) {
      const found = await api.devices.get(deviceId).then(
        (device) => device.statusReason ?? '',
        (error: { status?: number }) => {
          if (error.status === 404) return ABSENT;
          throw error;
        },
      );
      const may = [known.acknowledged ?? ABSENT, ...(known.attempted === 'none' ? [] : [known.attempted ?? ABSENT])];
      assert.ok(may.includes(found), `${when}: ${deviceId} is "${found}" and not one of ${may.join(' / ')}`);
      known.acknowledged = found === ABSENT ? undefined : found;
      known.attempted = 'none';
    }
  }

  async #checkCommands(api: ApiClient, when: string): Promise<void> {
    const done = [...this.#commands].filter(([, known]) => known.receiptDone);
    const looked = [...this.#commands].filter(([, known]) => !known.receiptDone);
    const share = DONE_LOOKED_AT_MAX / Math.max(1, done.length);
    looked.push(...done.filter(() => this.#random.next() < share));
    for (const [messageId, known] of looked) {
      const { commands } = await api.commands.find({ deviceId: known.deviceId }, { messageId });
      if (!known.sent) {
        // Its sender was not answered: it may be there, once.
        assert.ok(commands.length <= 1, `${when}: ${messageId} is there twice`);
        continue;
      }
      assert.equal(commands.length, 1, `${when}: ${messageId} was accepted`);
      if (known.completed) assert.equal(commands[0].outcome, 'completed', `${when}: ${messageId}`);
      else if (!known.completing) assert.equal(commands[0].outcome, undefined, `${when}: ${messageId}`);
      if (known.receiptDone && known.receipts !== 1)
        assert.fail(`${when}: ${messageId} has ${known.receipts} receipts`);
    }
    // Settled for good: not asked for again, else every round costs more than the last.
    for (const [messageId, known] of this.#commands) if (known.receiptDone) this.#commands.delete(messageId);
  }

  #fates(deviceId: string): Tracked[] {
    const fates = this.#sent.get(deviceId) ?? [];
    this.#sent.set(deviceId, fates);
    return fates;
  }

  async #refused(): Promise<void> {
    this.counts.refused++;
    await sleep(20);
  }

  async #pause(): Promise<void> {
    const { paceMs = 0 } = this.#shape;
    if (paceMs > 0) await sleep(paceMs * (0.5 + this.#random.next()));
  }

  #request(
    hub: LoadHub,
    method: string,
    path: string,
    headers: Record<string, string>,
    body = '',
  ): Promise<{ readonly status: number; readonly headers: Record<string, unknown>; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const { ports } = hub.endpoints;
      const options = { host: 'localhost', port: ports.https ?? 0, agent: this.#agent, method, path, headers };
      const request = https.request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}

function textOf(deviceId: string, n: number): string {
  return `${deviceId} ${n} ${'.'.repeat((n * 37) % 400)}`;
}

function isAnswer(error: unknown): boolean {
  return typeof (error as { status?: unknown }).status === 'number';
}

async function withApi<Result>(hub: LoadHub, work: (api: ApiClient) => Promise<Result>): Promise<Result> {
  const api = apiOf(hub);
  try {
    return await work(api);
  } finally {
    api.close();
  }
}
