/** One device: a tab for each side of it, each with an address of its own. */
import type { ComponentType } from 'preact';
import { Refusal } from '../api.ts';
import { getDevice, getKnownDevice, type Identity, type KnownDevice } from '../devices.ts';
import { Tabs } from '../parts/controls.tsx';
import { Badge, Empty, Failure, Text, Time, timeOf, useAnswer } from '../parts/words.tsx';
import { href, usePlace } from '../router.ts';
import { type Permission, useSession } from '../session.ts';
import { CommandsTab } from './device/commands.tsx';
import { ConnectTab } from './device/connect.tsx';
import { HistoryTab, WhyTab } from './device/history.tsx';
import { IdentityTab } from './device/identity.tsx';
import { MethodsTab } from './device/methods.tsx';
import { ModulesTab } from './device/modules.tsx';
import { TelemetryTab } from './device/telemetry.tsx';
import { TwinTab } from './device/twin.tsx';

export interface TabProps<Shown = KnownDevice> {
  readonly device: Shown;
  /** Reads the identity again, after a change of it. */
  readonly again: () => void;
}

interface Tab {
  readonly id: string;
  readonly title: string;
  readonly needs: Permission;
  readonly View: ComponentType<TabProps<Identity>>;
}

const tabs: readonly Tab[] = [
  { id: 'identity', title: 'Identity', needs: 'RegistryRead', View: IdentityTab },
  { id: 'telemetry', title: 'Telemetry', needs: 'ServiceConnect', View: TelemetryTab },
  { id: 'twin', title: 'Twin', needs: 'ServiceConnect', View: TwinTab },
  { id: 'methods', title: 'Methods', needs: 'ServiceConnect', View: MethodsTab },
  { id: 'commands', title: 'Commands', needs: 'ServiceConnect', View: CommandsTab },
  { id: 'modules', title: 'Modules', needs: 'RegistryRead', View: ModulesTab },
  { id: 'history', title: 'History', needs: 'ServiceConnect', View: HistoryTab },
  { id: 'why', title: 'Why can it not connect?', needs: 'ServiceConnect', View: WhyTab },
  { id: 'connect', title: 'Connect', needs: 'RegistryRead', View: ConnectTab },
];

export function Device({ id }: { readonly id: string }) {
  const { query } = usePlace();
  const { permissions } = useSession();
  const open = tabs.filter(({ needs }) => permissions.includes(needs));
  const device = useAnswer<KnownDevice | undefined>(`device ${id}`, async (signal) => {
    if (permissions.includes('RegistryRead')) return getDevice(id, signal);
    return open.length === 0 ? undefined : getKnownDevice(id, signal);
  });
  const chosen = open.find((tab) => tab.id === query.get('tab')) ?? open[0];
  const { data, error } = device;
  if (error instanceof Refusal && error.code === 'DeviceNotFound') {
    return (
      <>
        <h1 tabIndex={-1}>
          <Text value={id} />
        </h1>
        <Empty title="There is no such device">
          <p>
            <Text value={id} /> is not in the registry. It may have been deleted; capital letters count.
          </p>
          <a href="/devices">Go to the devices</a>
        </Empty>
      </>
    );
  }
  return (
    <>
      <div class="stack tight">
        <a class="small" href="/devices">
          ← Devices
        </a>
        <div class="head">
          <h1 tabIndex={-1}>
            <Text value={id} />
          </h1>
          {data && <State device={data} />}
        </div>
      </div>
      <Failure error={error} again={device.again} />
      {open.length > 0 && (
        <Tabs label="Sides of the device" open={chosen?.id}>
          {open.map((tab) => (
            <a
              key={tab.id}
              href={href('/device', { id, tab: tab.id })}
              aria-current={tab === chosen ? 'page' : undefined}
            >
              {tab.title}
            </a>
          ))}
        </Tabs>
      )}
      {chosen === undefined && <p class="note">Your policy may see no side of a device.</p>}
      {/* Tabs that show more than is known are open only to who may read the identity. */}
      {data && chosen && <chosen.View device={data as Identity} again={device.again} />}
    </>
  );
}

function State({ device }: { readonly device: KnownDevice }) {
  const isConnected = device.connectionState === 'Connected';
  const since = timeOf(device.connectionStateUpdatedTime);
  return (
    <div class="row small">
      {device.status === 'disabled' && <Badge mood="bad">disabled</Badge>}
      <Badge mood={isConnected ? 'ok' : ''}>{isConnected ? 'connected' : 'not connected'}</Badge>
      {since !== undefined && (
        <span class="quiet">
          since <Time at={since} />
        </span>
      )}
    </div>
  );
}
