/**
 * A hub in memory, for tests of adapters without a hub: it keeps what was sent, and does at once what a back end would ask for. It
 * judges proofs as the hub does, but for tokens and certificates, which it believes.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { hostLimits } from '../host-parts.ts';
import { Refused } from '../refused.ts';
import { HostedSession, type SessionParts, type SessionWire } from '../session.ts';
import type {
  CloseReason,
  ConnectOptions,
  DeviceFiles,
  DeviceSession,
  Handlers,
  JsonObject,
  MethodAnswer,
  Proof,
  Settlement,
  Telemetry,
} from '../types.ts';

export interface FakeMessage {
  readonly device: string;
  /** The body as text. */
  readonly text: string;
  readonly message: Telemetry;
  readonly until: 'hub' | 'stored';
}

interface FakeCommand {
  readonly body: Uint8Array;
  readonly properties: Record<string, string>;
  deliveryCount: number;
  settled(how: Settlement): void;
}

interface FakeDevice {
  readonly key: string;
  isDisabled: boolean;
  session: HostedSession | undefined;
  /** Has commands, and is given one at a time. */
  receiver: HostedSession | undefined;
  readonly commands: FakeCommand[];
  /** The first command is with the device. */
  isDelivering: boolean;
  desired: Record<string, unknown>;
  desiredVersion: number;
  reported: Record<string, unknown>;
  reportedVersion: number;
  /** By name. */
  readonly files: Map<string, { readonly bytes: Buffer; readonly contentType: string; readonly etag: string }>;
}

const DELIVERIES_MAX = 10;

export class FakeHub {
  /** Everything that was taken, in order. */
  readonly messages: FakeMessage[] = [];
  /** False = `'hub'` is refused, and what is `'stored'` is not in `messages` before it is true again. */
  #isReachable = true;
  /** What a queue keeps while the hub is away. */
  #queue: FakeMessage[] = [];
  readonly #devices = new Map<string, FakeDevice>();
  readonly #mayVouchFor: (device: string) => boolean;
  #lastId = 0;
  readonly #answers = new Map<string, (answer: MethodAnswer) => void>();

  /** @param mayVouchFor Which devices an adapter may vouch for; absent = every one that exists */
  constructor(mayVouchFor: (device: string) => boolean = () => true) {
    this.#mayVouchFor = mayVouchFor;
  }

  /** @returns its key, base64 */
  addDevice(device: string, key = randomBytes(32).toString('base64')): string {
    this.#devices.set(device, {
      ...{ key, isDisabled: false, session: undefined, receiver: undefined, commands: [], isDelivering: false },
      ...{ desired: {}, desiredVersion: 1, reported: {}, reportedVersion: 1, files: new Map() },
    });
    return key;
  }

  /** The texts of a device's messages. */
  textsOf(device: string): readonly string[] {
    return this.messages.filter((message) => message.device === device).map(({ text }) => text);
  }

  isConnected(device: string): boolean {
    return this.#devices.get(device)?.session !== undefined;
  }

  reportedBy(device: string): JsonObject {
    return this.#known(device).reported;
  }

  /** Resolves with how it was settled at last: an abandoned one is delivered again, up to 10 times. */
  sendCommand(device: string, text: string, properties: Record<string, string> = {}): Promise<Settlement> {
    const known = this.#known(device);
    return new Promise((settled) => {
      known.commands.push({ body: Buffer.from(text), properties, deliveryCount: 0, settled });
      this.#deliver(known);
    });
  }

  /** A file that the device may fetch. */
  putFile(device: string, name: string, bytes: Uint8Array, contentType = 'application/octet-stream'): void {
    const etag = String(++this.#lastId);
    this.#known(device).files.set(name, { bytes: Buffer.from(bytes), contentType, etag });
  }

  /** A file of the device, one that it has uploaded or may fetch; undefined = there is none. */
  fileOf(device: string, name: string): Buffer | undefined {
    return this.#known(device).files.get(name)?.bytes;
  }

  callMethod(device: string, name: string, payload?: unknown): Promise<MethodAnswer> {
    const { session } = this.#known(device);
    if (session === undefined) return Promise.reject(new Error(`${device} is not connected`));
    const id = String(++this.#lastId);
    return new Promise((resolve) => {
      this.#answers.set(id, resolve);
      session.method(id, { name, payload });
    });
  }

  /** A merge patch of desired properties; the device is told. */
  setDesired(device: string, patch: JsonObject): void {
    const known = this.#known(device);
    merge(known.desired, patch);
    known.desiredVersion++;
    known.session?.desired(patch, known.desiredVersion);
  }

  /** Ends the device's session; `disabled` and `deleted` keep it from coming back. */
  end(device: string, reason: CloseReason): void {
    const known = this.#known(device);
    if (reason === 'deleted') this.#devices.delete(device);
    known.isDisabled = reason === 'disabled';
    const { session } = known;
    this.#forget(known);
    session?.closed(reason);
  }

  /** The device is over its rate, or the host's queue is full; `false` = no longer. */
  slow(device: string, isSlowed: boolean): void {
    this.#known(device).session?.setWritable(!isSlowed);
  }

  get isReachable(): boolean {
    return this.#isReachable;
  }

  set isReachable(isReachable: boolean) {
    this.#isReachable = isReachable;
    if (isReachable) this.messages.push(...this.#queue.splice(0));
  }

  /** For the host: as `Host.connect`. */
  connect(
    proof: Proof,
    handlers: Handlers,
    options: ConnectOptions,
    parts: Pick<SessionParts, 'clock' | 'log'>,
  ): DeviceSession {
    const { device } = proof;
    const known = this.#devices.get(device);
    if (known === undefined || !this.#isProved(proof, known)) throw new Refused('unauthorized', 'The proof is wrong.');
    if (known.isDisabled) throw new Refused('disabled', 'The device is disabled.');
    const { session: older } = known;
    this.#forget(known);
    older?.closed('replaced');
    const ended = (): void => {
      if (known.session === session) this.#forget(known);
    };
    const session: HostedSession = new HostedSession({ ...parts, device, handlers, options, ended });
    session.wire = this.#wire(device, known, session);
    known.session = session;
    if (handlers.command !== undefined) known.receiver = session;
    // Behind the adapter's own next step, as a hub's would come.
    setImmediate(() => this.#deliver(known));
    return session;
  }

  /** For the host: as `Host.sharedKey`. */
  sharedKey(device: string): Uint8Array | undefined {
    const known = this.#devices.get(device);
    if (known === undefined || known.isDisabled) return undefined;
    return createHmac('sha256', Buffer.from(known.key, 'base64')).update('mooring psk').digest();
  }

  #isProved(proof: Proof, { key }: FakeDevice): boolean {
    if (proof.kind === 'key') return proof.key === key;
    return proof.kind === 'vouched' ? this.#mayVouchFor(proof.device) : true;
  }

  #wire(device: string, known: FakeDevice, session: HostedSession): SessionWire {
    return {
      send: async (message, until) => {
        if (!this.#isReachable && until === 'hub') throw new Refused('unreachable', 'The hub cannot be reached.');
        const { body } = message;
        const text = typeof body === 'string' ? body : Buffer.from(body).toString();
        (this.#isReachable ? this.messages : this.#queue).push({ device, text, message, until });
      },
      report: async (patch) => {
        merge(known.reported, patch);
        return this.#isReachable ? ++known.reportedVersion : undefined;
      },
      twin: async () => {
        if (!this.#isReachable) throw new Refused('unreachable', 'The hub cannot be reached.');
        const { desired, desiredVersion, reported } = known;
        return structuredClone({ desired, desiredVersion, reported });
      },
      settle: (_, how) => {
        const [command] = known.commands;
        if (command === undefined || known.session !== session) return;
        known.isDelivering = false;
        if (how === 'abandon') command.deliveryCount++;
        const isOver = how === 'abandon' ? command.deliveryCount >= DELIVERIES_MAX : how !== 'release';
        if (isOver && how !== 'release') {
          known.commands.shift();
          command.settled(how);
        }
        setImmediate(() => this.#deliver(known));
      },
      answer: (id, answer) => {
        this.#answers.get(id)?.(answer);
        this.#answers.delete(id);
      },
      desiredTaken: () => {},
      files: this.#files(device, known),
      close: async () => {},
    };
  }

  #files(device: string, { files }: FakeDevice): DeviceFiles {
    const demandHub = (): void => {
      if (!this.#isReachable) throw new Refused('unreachable', 'The hub cannot be reached.');
    };
    const demandPart = (bytes: number): void => {
      const { filePartBytesMax } = hostLimits;
      if (bytes > filePartBytesMax) throw new Refused('invalid', `A part has up to ${filePartBytesMax} bytes.`);
    };
    return {
      read: async (name, from, length) => {
        demandHub();
        demandPart(length);
        const file = files.get(name);
        if (file === undefined) throw new Refused('notFound', 'There is no such file.');
        const { bytes, etag, contentType } = file;
        return { bytes: bytes.subarray(from, from + length), total: bytes.length, etag, contentType };
      },
      upload: async (name, contentType) => {
        demandHub();
        const parts: Uint8Array[] = [];
        return {
          write: async (bytes) => {
            demandHub();
            demandPart(bytes.length);
            parts.push(Buffer.from(bytes));
          },
          finish: async () => {
            demandHub();
            this.putFile(device, name, Buffer.concat(parts), contentType);
          },
          abandon: async () => {},
        };
      },
    };
  }

  /** One command at a time. */
  #deliver(known: FakeDevice): void {
    const [command] = known.commands;
    if (command === undefined || known.receiver === undefined || known.isDelivering) return;
    known.isDelivering = true;
    const { body, properties, deliveryCount } = command;
    known.receiver.command({ id: `c${++this.#lastId}`, body, properties, deliveryCount });
  }

  #forget(known: FakeDevice): void {
    known.session = undefined;
    known.receiver = undefined;
    known.isDelivering = false;
  }

  #known(device: string): FakeDevice {
    const known = this.#devices.get(device);
    if (known === undefined) throw new Error(`the fake hub has no device ${device}: add it first`);
    return known;
  }
}

/** JSON merge patch (RFC 7386). */
function merge(into: Record<string, unknown>, patch: JsonObject): void {
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete into[name];
    else if (typeof value === 'object' && !Array.isArray(value)) {
      const inner = into[name];
      const below = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {};
      into[name] = below;
      merge(below, value as JsonObject);
    } else into[name] = value;
  }
}
