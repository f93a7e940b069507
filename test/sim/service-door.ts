/** What back ends ask of the hub, whichever way they come: at its waist here, by HTTP in `http-service-door.ts`. */
import type { Settlement } from '../../src/core/commands/lifecycle.ts';
import type { CommandMessage, Receipt } from '../../src/core/commands/types.ts';
import type { IdentityDraft, IdentityView } from '../../src/core/identity/registry-room.ts';
import { signed } from '../drivers/mqtt-door.ts';
import { owner } from '../drivers/owner.ts';
import type { DeviceCredential } from './directory.ts';
import type { HubHost } from './hub-host.ts';
import type { World } from './world.ts';

/** An identity as an answer shows it. */
export interface SeenIdentity extends Pick<IdentityView, 'etag' | 'generationId' | 'status'> {
  readonly tag: string;
  readonly key: string | undefined;
}

/** A receipt as far as every way of reading tells it. */
export type SeenReceipt = Pick<Receipt, 'originalMessageId' | 'deviceId' | 'outcome'> & {
  readonly sequence: number | undefined;
};

/** A command that a device has fetched. */
export interface Fetched {
  readonly messageId: string;
  /** It has been handed over before; undefined = the way does not tell. */
  readonly again: boolean | undefined;
}

/** Each operation throws HubError for what was refused, and another error when nobody knows whether it was done. */
export interface ServiceDoor {
  getIdentity(deviceId: string): Promise<SeenIdentity>;
  /** Creates without `ifMatch`. */
  putIdentity(draft: IdentityDraft, ifMatch: string | undefined): Promise<SeenIdentity>;
  deleteIdentity(deviceId: string, ifMatch: string): Promise<void>;
  /** The sequence number, where it is told. */
  sendCommand(deviceId: string, message: CommandMessage & { readonly messageId: string }): Promise<number | undefined>;
  purge(deviceId: string): Promise<void>;
  /** @param decide undefined = forgets the batch. @param settled the hub has confirmed it. */
  readReceipts(
    decide: (receipts: readonly SeenReceipt[]) => 'complete' | 'abandon' | undefined,
    settled: (receipts: readonly SeenReceipt[], settlement: 'complete' | 'abandon') => void,
  ): Promise<void>;
  /** A device without a connection fetches one command. */
  fetchCommand(
    deviceId: string,
    credential: DeviceCredential,
    decide: (command: Fetched) => Promise<Settlement>,
    settled: (command: Fetched, settlement: Settlement) => void,
  ): Promise<void>;
}

const TOKEN_MS = 30 * 86_400_000;

/** Signing is dear, and devices ask often. */
const lasting = new WeakMap<DeviceCredential, string>();

/** @param lifeMs absent = it outlives the simulation */
export function deviceToken(world: World, deviceId: string, credential: DeviceCredential, lifeMs?: number): string {
  const known = lifeMs === undefined ? lasting.get(credential) : undefined;
  if (known !== undefined) return known;
  const resource = `localhost/devices/${deviceId}`;
  const token = signed(resource, credential.key, world.scheduler.now() + (lifeMs ?? TOKEN_MS));
  if (lifeMs === undefined) lasting.set(credential, token);
  return token;
}

export function waistDoor(world: World, host: HubHost): ServiceDoor {
  return {
    getIdentity: async (deviceId) => seen(await host.call((hub) => hub.registry.get(owner, { deviceId }))),
    putIdentity: async (draft, ifMatch) => seen(await host.call((hub) => hub.registry.put(owner, draft, ifMatch))),
    deleteIdentity: (deviceId, ifMatch) => host.call((hub) => hub.registry.delete(owner, { deviceId }, ifMatch)),
    async sendCommand(deviceId, message) {
      return (await host.call((hub) => hub.commands.send(owner, { deviceId }, message))).sequence;
    },
    async purge(deviceId) {
      await host.call((hub) => hub.commands.purge(owner, { deviceId }));
    },
    readReceipts: (decide, settled) =>
      host.call(async (hub) => {
        const batch = await hub.commands.takeReceipts(owner);
        if (batch === undefined) return;
        const settlement = decide(batch.receipts);
        if (settlement === undefined) return;
        if (await hub.commands.settleReceipts(owner, batch.lockToken, settlement)) settled(batch.receipts, settlement);
      }),
    fetchCommand(deviceId, credential, decide, settled) {
      const token = deviceToken(world, deviceId, credential);
      return host.call(async (hub) => {
        const principal = await hub.authentication.device({ deviceId }, { kind: 'token', token });
        const inbox = hub.commands.openInbox(principal, { deviceId }, '');
        const [command] = await inbox.take(1);
        if (command === undefined || command.state.kind !== 'locked') return;
        const fetched = { messageId: Buffer.from(command.message.body).toString(), again: command.handedOver > 1 };
        const settlement = await decide(fetched);
        await inbox.settle(command.state.lockToken, settlement);
        settled(fetched, settlement);
      });
    },
  };
}

function seen({ etag, generationId, status, statusReason, authentication }: IdentityView): SeenIdentity {
  const key = authentication.symmetricKey?.primaryKey;
  return { etag, generationId, status, tag: statusReason ?? '', key };
}
