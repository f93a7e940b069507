/** How a program connects as this device. */

import type { Identity } from '../../devices.ts';
import { SimulatedDevice } from '../../simulation/simulated-device.tsx';
import type { TabProps } from '../device.tsx';
import { Programs } from '../programs.tsx';

export function ConnectTab({ device }: TabProps<Identity>) {
  return (
    <div class="card stack">
      <SimulatedDevice device={device} />
      <Programs device={device} />
    </div>
  );
}
