import { createHmac, randomBytes } from 'node:crypto';
import { signSas } from '../../api/sas.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { ByteWriter } from '../../wire/gateway/bytes.ts';
import { Refused } from '../refused.ts';
import type { Proof } from '../types.ts';
import type { NodeAnswer } from './amqp/request-node.ts';
import type { GatewayStore } from './store.ts';

/** Asks the hub's node `$gateway`. @throws HubFailure when there is no answer */
export type AskHub = (properties: Readonly<Record<string, string>>, body: unknown) => Promise<NodeAnswer>;

export interface ProofsParts {
  readonly store: GatewayStore;
  readonly clock: Clock;
  /** Name of the hub in tokens. */
  readonly hubName: string;
  /** Of which devices the adapter may say so by itself, by the kind of what it says. */
  readonly may: Readonly<Record<'vouched' | 'certificate' | 'psk', (device: string) => boolean>>;
  /** Devices that may be made, where the adapter vouches for them and they do not exist. */
  readonly createMax: number;
  /** Undefined while the hub cannot be reached. */
  readonly hub: () => AskHub | undefined;
}

const ENDLESS = Number.POSITIVE_INFINITY;

/**
 * Whether what a device has shown proves it. The hub judges; what it has believed is remembered as a hash, so that devices are let in while
 * the hub is away: a device that was disabled meanwhile stays in until then, and the hub takes nothing of it.
 */
export class Proofs {
  readonly #parts: ProofsParts;
  readonly #salt: Buffer;
  readonly #sql;
  #created = 0;
  /** By device; what the hub has answered last. Names that have no key push out none that have: anybody may ask for many of them. */
  readonly #sharedKeys = new Map<string, { readonly key: Uint8Array; readonly at: number }>();
  readonly #keyless = new Map<string, { readonly key: undefined; readonly at: number }>();

  constructor(parts: ProofsParts) {
    this.#parts = parts;
    const { store } = parts;
    this.#sql = {
      find: store.prepare('select seen from proof where device = ? and hash = ?'),
      keep: store.prepare('insert or replace into proof (device, hash, seen) values (?, ?, ?)'),
      forget: store.prepare('delete from proof where device = ?'),
      count: store.prepare('select count(*) as count from proof'),
      oldest: store.prepare('delete from proof where seen <= (select seen from proof order by seen limit 1 offset ?)'),
      fact: store.prepare("select value from fact where name = 'salt'"),
      keepFact: store.prepare("insert into fact (name, value) values ('salt', ?)"),
    };
    const known = this.#sql.fact.get() as { value: Uint8Array } | undefined;
    this.#salt = known === undefined ? randomBytes(32) : Buffer.from(known.value);
    if (known === undefined) store.write(() => void this.#sql.keepFact.run(this.#salt)).catch(() => {});
  }

  /** Resolves with the UTC milliseconds at which the proof ends. @throws Refused unauthorized, disabled, throttled, unreachable, invalid */
  async check(proof: Proof): Promise<number> {
    if (!/^[^/\s]{1,128}(\/[^/\s]{1,128})?$/.test(proof.device)) throw unauthorized();
    if (proof.kind !== 'key' && proof.kind !== 'token' && !this.#parts.may[proof.kind](proof.device))
      throw unauthorized();
    const ask = this.#parts.hub();
    const hash = this.#hash(proof);
    if (ask === undefined) return this.#remembered(proof, hash);
    let expiresAt: number;
    try {
      expiresAt = await this.#judged(proof, ask);
    } catch (error) {
      if (!(error instanceof Refused)) return this.#remembered(proof, hash);
      // A wrong one costs no disk: a stranger may try many.
      if (error.code === 'disabled') this.forget(proof.device);
      throw error;
    }
    this.#keep(proof.device, hash);
    return expiresAt;
  }

  /** As `Host.sharedKey`. One that is known counts for a minute, and for as long as the hub is away. @throws Refused unreachable */
  async sharedKey(device: string): Promise<Uint8Array | undefined> {
    const { clock, hub, may } = this.#parts;
    if (!may.psk(device)) return undefined;
    const ask = hub();
    const known = this.#sharedKeys.get(device) ?? this.#keyless.get(device);
    if (known !== undefined && clock.monotonic() - known.at < limits.gatewaySharedKeyMs) return known.key;
    const answer = await ask?.({ operation: 'sharedKey', device }, '').catch(() => undefined);
    if (answer === undefined || answer.status === 429 || answer.status >= 500) {
      // A hub that cannot say now has not said that there is none.
      if (known !== undefined) return known.key;
      throw new Refused('unreachable', 'The hub cannot be asked for the key of the device now.', 10);
    }
    const text = answer.status === 200 ? (JSON.parse(String(answer.body)) as { key: string | null }).key : null;
    this.#sharedKeys.delete(device);
    this.#keyless.delete(device);
    const at = clock.monotonic();
    if (text === null) {
      keep(this.#keyless, device, { key: undefined, at });
      return undefined;
    }
    const key = Buffer.from(text, 'base64');
    keep(this.#sharedKeys, device, { key, at });
    return key;
  }

  /** What was believed of a device counts no more. */
  forget(device: string): void {
    this.#sharedKeys.delete(device);
    this.#parts.store.write(() => void this.#sql.forget.run(device)).catch(() => {});
  }

  async #judged(proof: Proof, ask: AskHub): Promise<number> {
    const { device } = proof;
    const judge = async (kind: string, body: unknown): Promise<NodeAnswer> =>
      ask({ operation: 'judge', device, kind }, body);
    let answer = await this.#shown(proof, judge);
    if (answer.status === 401 && proof.kind === 'vouched' && this.#parts.createMax > 0) {
      if (this.#created >= this.#parts.createMax)
        throw new Refused('throttled', 'The gateway makes no more devices.', 3600);
      this.#created++;
      const made = await ask({ operation: 'create', device }, '');
      if (made.status !== 200) throw refusalOf(made);
      answer = await judge('vouched', '');
    }
    if (answer.status !== 200) throw refusalOf(answer);
    const { expiresAt } = JSON.parse(String(answer.body)) as { expiresAt?: number };
    // The token that the gateway has made of a key says nothing of the device's.
    return proof.kind === 'key' ? ENDLESS : (expiresAt ?? ENDLESS);
  }

  async #shown(proof: Proof, judge: (kind: string, body: unknown) => Promise<NodeAnswer>): Promise<NodeAnswer> {
    const { device } = proof;
    switch (proof.kind) {
      case 'key': {
        const [deviceId, moduleId] = device.split('/');
        const path = moduleId === undefined ? deviceId : `${deviceId}/modules/${moduleId}`;
        if (!/^[A-Za-z0-9+/]+={0,2}$/.test(proof.key)) throw unauthorized();
        const resource = `${this.#parts.hubName}/devices/${path}`;
        const expiresAt = this.#parts.clock.now() + limits.gatewayProofTokenMs;
        return judge('token', await signSas({ resource, key: proof.key, expiresAt }));
      }
      case 'token':
        return judge('token', proof.token);
      case 'certificate': {
        const writer = new ByteWriter();
        for (const certificate of proof.chain) writer.bytes(certificate);
        return judge('certificate', writer.copy());
      }
      // The adapter has seen the device prove what only `sharedKey` could have told it.
      case 'psk':
      case 'vouched':
        return judge('vouched', '');
    }
  }

  #remembered(proof: Proof, hash: Buffer): number {
    const known = this.#sql.find.get(proof.device, hash) as { seen: number } | undefined;
    if (known !== undefined) return proof.kind === 'token' ? (endOf(proof.token) ?? ENDLESS) : ENDLESS;
    throw new Refused('unreachable', 'The hub cannot be reached, and the gateway does not know this proof.', 60);
  }

  #keep(device: string, hash: Buffer): void {
    if (this.#sql.find.get(device, hash) !== undefined) return;
    const keep = (): void => {
      const { count } = this.#sql.count.get() as { count: number };
      if (count >= limits.gatewayProofsMax) this.#sql.oldest.run(Math.floor(limits.gatewayProofsMax / 10));
      this.#sql.keep.run(device, hash, this.#parts.clock.now());
    };
    this.#parts.store.write(keep).catch(() => {});
  }

  /** Salted, so that the hashes of two gateways cannot be compared; keys are random and cannot be guessed. */
  #hash(proof: Proof): Buffer {
    const hash = createHmac('sha256', this.#salt).update(`${proof.kind}\n${proof.device}\n`);
    if (proof.kind === 'key') hash.update(proof.key);
    else if (proof.kind === 'token') hash.update(proof.token);
    else if (proof.kind === 'certificate') for (const each of proof.chain) hash.update(each);
    return hash.digest();
  }
}

/** Keeps it as the newest; the oldest ones make room. */
function keep<Value>(map: Map<string, Value>, device: string, value: Value): void {
  map.set(device, value);
  for (const oldest of map.keys()) {
    if (map.size <= limits.gatewaySharedKeysMax) return;
    map.delete(oldest);
  }
}

/** `se` of a SAS token, in milliseconds. */
function endOf(token: string): number | undefined {
  const seconds = Number(/[?&\s]se=(\d{1,12})(&|$)/.exec(token)?.[1]);
  return Number.isNaN(seconds) ? undefined : seconds * 1000;
}

const unauthorized = (): Refused => new Refused('unauthorized', 'The device is unknown, or its proof is wrong.');

function refusalOf({ status, description }: NodeAnswer): Refused {
  if (status === 403) return new Refused('disabled', 'The device is disabled.');
  if (status === 429) return new Refused('throttled', 'The hub does not judge so many proofs now.', 10);
  if (status >= 500) return new Refused('unreachable', `The hub cannot judge now: ${description}`);
  if (status === 400) return new Refused('invalid', description);
  return unauthorized();
}
