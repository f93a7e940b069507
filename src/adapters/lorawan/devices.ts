/**
 * The devices of one network: sessions in the hub, made on sight up to a bound. They are remembered, so that after a restart commands
 * reach a device that sends once a day.
 */
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { type CloseReason, type DeviceSession, type Host, Refused, type Telemetry } from '../../gateway/index.ts';
import { type DownlinkDefaults, Downlinks, type Send } from './downlinks.ts';
import { type DeviceName, type LoraEvent, maybeMembers } from './events.ts';
import type { NetworkSettings } from './settings.ts';

interface LoraDevice {
  name: DeviceName;
  session: Promise<DeviceSession> | undefined;
  downlinks: Downlinks | undefined;
}

export class Devices {
  readonly #host: Host;
  readonly #settings: NetworkSettings;
  readonly #send: Send | undefined;
  readonly #devices = new Map<string, LoraDevice>();
  /** Ids of messages that were stored, or are on their way; a Set keeps their order. */
  readonly #seen = new Map<string, Promise<void>>();

  /** @param send undefined = commands do not go down */
  constructor(host: Host, settings: NetworkSettings, send: Send | undefined) {
    this.#host = host;
    this.#settings = settings;
    this.#send = send;
  }

  /** Opens the sessions of devices that were seen before. What cannot be opened now is when its device sends. */
  async reopen(signal: AbortSignal): Promise<void> {
    const known = await this.#host.memory.list(this.#key(''));
    const waiting = known.slice(0, this.#settings.devicesMax).values();
    const work = async (): Promise<void> => {
      for (const [key, value] of waiting) {
        if (signal.aborted) return;
        const { application, device } = maybeMembers(value);
        const name = {
          devEui: key.slice(this.#key('').length),
          reference: { application: String(application), device: String(device) },
        };
        await this.#session(this.#device(name)).catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: limits.lorawanReopenAtOnce }, work));
  }

  /** Resolves when it is stored; a message that came before is so already. @throws Refused */
  take(event: LoraEvent): Promise<void> {
    if (event.kind === 'report' && event.downlink !== undefined && event.downlink.outcome !== 'undecided') {
      this.#devices.get(event.device.devEui)?.downlinks?.told(event.downlink.ids, event.downlink.outcome);
    }
    const before = this.#seen.get(event.id);
    if (before !== undefined) {
      this.#host.metrics.count('duplicates');
      return before;
    }
    const stored = this.#store(event);
    this.#seen.set(event.id, stored);
    if (this.#seen.size > limits.lorawanIdsRemembered) this.#seen.delete(this.#seen.keys().next().value as string);
    // What was not stored may come again.
    stored.catch(() => this.#seen.delete(event.id));
    return stored;
  }

  async close(): Promise<void> {
    const sessions = [...this.#devices.values()].map(({ session }) => session?.then((open) => open.close()));
    await Promise.allSettled(sessions);
  }

  async #store(event: LoraEvent): Promise<void> {
    const device = this.#device(event.device);
    const session = await this.#session(device);
    await session.send(this.#telemetry(event), 'stored');
  }

  /** @throws Refused when it would be one too many */
  #device(name: DeviceName): LoraDevice {
    const found = this.#devices.get(name.devEui);
    if (found !== undefined) {
      if (
        found.name.reference.device !== name.reference.device ||
        found.name.reference.application !== name.reference.application
      ) {
        found.name = name;
        this.#remember(name);
      }
      return found;
    }
    const { devicesMax, name: network } = this.#settings;
    if (this.#devices.size >= devicesMax)
      throw new Refused('invalid', `network "${network}" has more than the ${devicesMax} devices of devicesMax`);
    const device: LoraDevice = { name, session: undefined, downlinks: undefined };
    this.#devices.set(name.devEui, device);
    return device;
  }

  #session(device: LoraDevice): Promise<DeviceSession> {
    if (device.session !== undefined) return device.session;
    const { devEui } = device.name;
    const { downlink, devices, name } = this.#settings;
    const ended = (reason: CloseReason): void => {
      device.session = undefined;
      // Or else the next start would make it again, where devices are made on sight.
      if (reason === 'deleted') this.#forget(devEui);
    };
    if (this.#send !== undefined && downlink !== undefined)
      device.downlinks ??= new Downlinks(this.#send, downlink as DownlinkDefaults, this.#host.clock);
    const { downlinks } = device;
    const session = this.#host.connect(
      { kind: 'vouched', device: devices.replace('{devEui}', devEui) },
      {
        closed: ended,
        ...(downlinks && {
          command: async (command, signal) => {
            const settled = await downlinks.command(device.name, command, signal);
            if (typeof settled === 'string') return settled;
            this.#host.log.warn('A command cannot go down and is rejected', {
              network: name,
              devEui,
              reason: settled.rejected,
            });
            return 'reject';
          },
        }),
      },
      { address: devEui, commandsAtOnce: 4 },
    );
    device.session = session;
    session.then(
      () => this.#remember(device.name),
      (error: unknown) => {
        device.session = undefined;
        // Downlinks on their way are still known when the hub can be asked again.
        const isForNow = error instanceof Refused && error.retry;
        if (!isForNow || device.downlinks?.isIdle !== false) this.#devices.delete(devEui);
      },
    );
    return session;
  }

  #forget(devEui: string): void {
    this.#devices.delete(devEui);
    this.#host.memory.delete(this.#key(devEui)).catch((error: unknown) => {
      this.#host.log.warn('A deleted device could not be forgotten', { devEui, reason: String(error) });
    });
  }

  #remember({ devEui, reference }: DeviceName): void {
    this.#host.memory.set(this.#key(devEui), { ...reference }).catch((error: unknown) => {
      this.#host.log.warn('A device could not be remembered: after a restart its commands wait for its next uplink', {
        devEui,
        reason: String(error),
      });
    });
  }

  #key(devEui: string): string {
    return `device/${this.#settings.name}/${devEui}`;
  }

  #telemetry(event: LoraEvent): Telemetry {
    const { id, device, time } = event;
    const common = { messageId: messageIdOf(id), address: device.devEui, ...(time && { created: time }) };
    const json = { contentType: 'application/json', contentEncoding: 'utf-8' };
    if (event.kind === 'report') {
      return { ...common, ...json, body: JSON.stringify(event.body), properties: { 'lorawan-event': event.event } };
    }
    const { fPort, fCnt, rssi, snr, payload, decoded } = event;
    const properties = {
      'lorawan-event': 'up',
      'lorawan-fport': String(fPort),
      'lorawan-fcnt': String(fCnt),
      ...(rssi !== undefined && { 'lorawan-rssi': String(rssi) }),
      ...(snr !== undefined && { 'lorawan-snr': String(snr) }),
    };
    const { body } = this.#settings;
    if (body === 'whole') {
      const whole = { devEui: device.devEui, fPort, fCnt, data: payload.toString('base64'), decoded, rssi, snr, time };
      return { ...common, ...json, properties, body: JSON.stringify(whole) };
    }
    if (body === 'decoded' && decoded !== undefined && decoded !== null)
      return { ...common, ...json, properties, body: JSON.stringify(decoded) };
    return { ...common, properties, body: payload, contentType: 'application/octet-stream' };
  }
}

/** Servers' ids may be long, those of commands in them too. The same id has the same one. */
function messageIdOf(id: string): string {
  return id.length <= limits.messageIdCharsMax ? id : createHash('sha256').update(id).digest('hex');
}
