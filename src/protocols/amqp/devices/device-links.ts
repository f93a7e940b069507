import { HubError } from '../../../core/errors.ts';
import type { DevicePrincipal } from '../../../core/identity/types.ts';
import { clipped } from '../../../core/monitoring/concerned.ts';
import type { DeviceAddress } from '../addresses.ts';
import type { AnyLink } from '../engine/any-link.ts';
import { IncomingLink } from '../engine/incoming-link.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import type { LinkHost } from '../link-host.ts';
import type { AttachedDevice } from './attached-device.ts';
import type { AttachedDevices, Ending } from './attached-devices.ts';
import { CommandLink } from './command-link.ts';
import { TelemetryIntake } from './telemetry-intake.ts';
import { TwinLinks } from './twin-links.ts';

/** Opens the links of the devices behind one connection (device reference 3.3). */
export class DeviceLinks {
  readonly #devices: AttachedDevices;
  readonly #host: LinkHost;

  constructor(devices: AttachedDevices, host: LinkHost) {
    this.#devices = devices;
    this.#host = host;
  }

  /** @returns what proves the device. @throws HubError; the link is still to be refused then. */
  async open(link: AnyLink, address: DeviceAddress): Promise<DevicePrincipal> {
    const device = await this.#devices.enter(address.key);
    link.whenClosed(() => {
      device.removeLink(link);
      this.#devices.leave(device, endingOf(link));
    });
    // The link may have ended while its device entered; it has left it then.
    if (link.state !== 'opening') return device.connection.principal;
    device.addLink(link);
    this.#nameModel(link, device);
    if (link instanceof IncomingLink) this.#openIncoming(link, address, device);
    else this.#openOutgoing(link, address, device);
    return device.connection.principal;
  }

  #openIncoming(link: IncomingLink, { endpoint }: DeviceAddress, device: AttachedDevice): void {
    switch (endpoint) {
      case 'events':
        new TelemetryIntake(link, this.#host, device);
        return;
      case 'twin':
        this.#demand(device, 'twins.readOwn');
        this.#twinOf(device).openRequests(link);
        return;
      case 'methods':
        this.#demand(device, 'methods.receive');
        device.methods.openAnswers(link, this.#host);
        return;
      case 'commands':
        throw new HubError('IotHubUnauthorizedAccess', 'Commands are sent by back ends.', {
          reason: 'missing-permission',
        });
    }
  }

  #openOutgoing(link: OutgoingLink, { endpoint }: DeviceAddress, device: AttachedDevice): void {
    switch (endpoint) {
      case 'commands':
        new CommandLink(link, this.#host, device);
        return;
      case 'twin':
        this.#demand(device, 'twins.readOwn');
        this.#twinOf(device).openAnswers(link);
        return;
      case 'methods':
        this.#demand(device, 'methods.receive');
        device.methods.openCalls(link, this.#host);
        return;
      // Inputs of modules, which nothing reaches.
      case 'events':
        this.#demand(device, 'commands.receive');
        link.onSendable = () => link.drained();
        link.open({ sendsSettled: true });
    }
  }

  /** What the hub sends to nobody but the device itself. @throws HubError */
  #demand(device: AttachedDevice, operation: 'commands.receive' | 'twins.readOwn' | 'methods.receive'): void {
    const { principal, key } = device.connection;
    this.#host.hub.guard.demand(principal, operation, key);
  }

  /** Each link of a device may name the model (device reference 2.1); it is kept with the first that does. */
  #nameModel({ attach }: AnyLink, device: AttachedDevice): void {
    const modelId = attach.properties.get('com.microsoft:model-id');
    if (typeof modelId !== 'string' || modelId === '' || device.modelId === modelId) return;
    device.modelId = modelId;
    const { principal, key } = device.connection;
    const { hub, log } = this.#host;
    hub.twins.nameModel(principal, key, modelId).catch((error: unknown) => {
      log.warn({ identity: device.name, error }, 'the model of a device is not kept');
    });
  }

  #twinOf(device: AttachedDevice): TwinLinks {
    device.twin ??= new TwinLinks(this.#host, device.connection);
    return device.twin;
  }
}

/** Conditions under which the hub ends links for a fault of its own. */
const own: ReadonlySet<string> = new Set(['amqp:internal-error', 'com.microsoft:server-busy']);

/** Why the hub has ended a link; undefined = it has not. */
function endingOf({ endedBy, address }: AnyLink): Ending | undefined {
  if (endedBy === undefined) return undefined;
  const { condition, description } = endedBy;
  const subject = address === undefined ? '' : `: ${JSON.stringify(clipped(address))}`;
  return {
    reason: own.has(condition) ? 'storage-failed' : 'protocol-error',
    detail: `${(description ?? condition).replace(/\.$/, '')}${subject}`,
  };
}
