/**
 * Polls Modbus TCP devices: what their registers hold becomes messages, and commands write registers. It has no listener: the devices are
 * a table in its settings, and the hub lets it vouch for them.
 */
import {
  type Adapter,
  type AdapterDefinition,
  type Command,
  type DeviceSession,
  type Host,
  type Settlement,
  z,
} from '../../src/gateway/index.ts';
import { ModbusConnection, ModbusException } from './modbus.ts';
import { numberOf, type Register, registersFor, registersOf, typeNames } from './registers.ts';

const seconds = (normal: number) => z.number().min(0.01).max(86_400).default(normal);

const deviceSchema = z.strictObject({
  /** Its id in the hub. */
  device: z.string().min(1),
  host: z.string(),
  port: z.int().min(1).max(65_535).default(502),
  unit: z.int().min(0).max(255).default(1),
  everySeconds: seconds(10),
  /** So long nothing is told while nothing changes. */
  atLeastSeconds: seconds(600),
  registers: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        kind: z.enum(['holding', 'input']).default('holding'),
        at: z.int().min(0).max(0xffff),
        type: z.enum(typeNames).default('u16'),
        scale: z
          .number()
          .refine((scale) => scale !== 0)
          .default(1),
        /** Whether a command may write it. */
        writable: z.boolean().default(false),
      }),
    )
    .min(1)
    .max(100),
});

const settingsSchema = z.strictObject({
  devices: z.array(deviceSchema).min(1).max(1000),
  /** Pause before a device that cannot be reached, or is not let in, is tried again. */
  retrySeconds: seconds(30),
  timeoutSeconds: seconds(3),
});

type Settings = z.infer<typeof settingsSchema>;
type DeviceSettings = Settings['devices'][number];

const definition: AdapterDefinition<Settings> = {
  name: 'modbus',
  apiVersion: 1,
  summary: 'Polls registers of Modbus TCP devices.',
  settings: settingsSchema,
  create: (host, settings) => new Poller(host, settings),
};
export default definition;

class Poller implements Adapter {
  readonly #host: Host;
  readonly #settings: Settings;
  readonly #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  readonly #problems = new Map<string, string>();

  constructor(host: Host, settings: Settings) {
    this.#host = host;
    this.#settings = settings;
  }

  async start(): Promise<void> {
    this.#running = Promise.all(this.#settings.devices.map((device) => this.#keep(device)));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Polls one device until the adapter stops; whatever fails is tried again. */
  async #keep(device: DeviceSettings): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#poll(device);
      } catch (error) {
        this.#problem(device, error instanceof Error ? error.message : String(error));
      }
      await this.#pause(this.#settings.retrySeconds);
    }
  }

  async #poll(device: DeviceSettings): Promise<void> {
    const timeoutMs = this.#settings.timeoutSeconds * 1000;
    const modbus = await ModbusConnection.open(device.host, device.port, timeoutMs);
    let session: DeviceSession | undefined;
    // What is asked then is not waited for: a device may be slow, and have many registers.
    const end = (): void => modbus.close();
    this.#stop.signal.addEventListener('abort', end);
    try {
      // The device is there: now the hub may know it.
      session = await this.#host.connect(
        { kind: 'vouched', device: device.device },
        { command: (command) => this.#command(device, modbus, command) },
        { address: `modbus ${device.host} ${device.unit}` },
      );
      session.signal.addEventListener('abort', end);
      let [told, toldAt] = ['', 0];
      while (!this.#stop.signal.aborted && !session.signal.aborted) {
        const text = await read(device, modbus);
        this.#problem(device, undefined);
        const now = this.#host.clock.monotonic();
        if (text !== undefined && (text !== told || now - toldAt >= device.atLeastSeconds * 1000)) {
          // A poll waits until the message before is on a disk: no more is read than is stored.
          await session.send({ body: text, contentType: 'application/json', contentEncoding: 'utf-8' });
          [told, toldAt] = [text, now];
        }
        await this.#pause(device.everySeconds, session.signal);
      }
    } finally {
      this.#stop.signal.removeEventListener('abort', end);
      modbus.close();
      await session?.close();
    }
  }

  /** `{"setpoint": 21.5}` writes the register of that name. All of them are checked before the first is written. */
  async #command(device: DeviceSettings, modbus: ModbusConnection, { body }: Command): Promise<Settlement> {
    const writes: { readonly register: Register; readonly bytes: Buffer }[] = [];
    for (const [name, value] of Object.entries(objectOf(body) ?? {})) {
      const register = device.registers.find((one) => one.name === name && one.writable && one.kind === 'holding');
      const bytes = register && typeof value === 'number' ? registersFor(register, value) : undefined;
      if (register === undefined || bytes === undefined) return 'reject';
      writes.push({ register, bytes });
    }
    if (writes.length === 0) return 'reject';
    try {
      for (const { register, bytes } of writes) await modbus.write(device.unit, register.at, bytes);
      return 'complete';
    } catch (error) {
      // The device does not want it: it would not want it again. Anything else is thrown: the hub delivers the command once more.
      if (error instanceof ModbusException) return 'reject';
      throw error;
    }
  }

  #problem({ device }: DeviceSettings, text: string | undefined): void {
    if (this.#problems.get(device) === text) return;
    if (text === undefined) this.#problems.delete(device);
    else {
      this.#problems.set(device, text);
      this.#host.log.warn('a device is not polled', { device, reason: text });
    }
    const [first] = this.#problems;
    if (first === undefined) this.#host.health('ok', '');
    else this.#host.health('warn', `${this.#problems.size} devices are not polled, among them ${first.join(': ')}`);
  }

  async #pause(forSeconds: number, ...signals: AbortSignal[]): Promise<void> {
    const over = AbortSignal.any([this.#stop.signal, ...signals]);
    if (over.aborted) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#host.clock.after(forSeconds * 1000, resolve);
      const end = (): void => {
        cancel();
        resolve();
      };
      over.addEventListener('abort', end, { once: true });
    });
  }
}

/** @returns the message; undefined where the device has nothing to say now */
async function read({ registers, unit }: DeviceSettings, modbus: ModbusConnection): Promise<string | undefined> {
  const values: Record<string, number> = {};
  for (const register of registers) {
    try {
      const bytes = await modbus.read(unit, register.kind, register.at, registersOf(register));
      values[register.name] = numberOf(register, bytes);
    } catch (error) {
      // It has answered: the other registers may hold something.
      if (!(error instanceof ModbusException)) throw error;
    }
  }
  return Object.keys(values).length === 0 ? undefined : JSON.stringify(values);
}

function objectOf(body: Uint8Array): object | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
