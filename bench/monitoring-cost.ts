/**
 * What monitoring costs, in one run: the hub as it is beside the hub with `--monitoring off`. The path of telemetry, where
 * nothing is recorded per message, and connections, where every one is two events.
 */
import { type ConnectChurnOptions, connectChurn } from './connect-churn.ts';
import { hub, hubAt } from './servers/hub.ts';
import { type TelemetryInOptions, telemetryIn } from './telemetry-in.ts';

const OFF = '--monitoring off';

export type MonitoringCostOptions = Omit<TelemetryInOptions, 'peers' | 'hub'> & Pick<ConnectChurnOptions, 'inFlight'>;

/** @param root the checkout whose hub is measured */
export async function monitoringCost(options: MonitoringCostOptions, root: string): Promise<void> {
  const { inFlight, jsonFile, ...common } = options;
  const file = (part: string): string | undefined => jsonFile?.replace(/(\.json)?$/, `-${part}.json`);
  const off = hubAt(`mooring ${OFF}`, root, OFF.split(' '));
  await telemetryIn({ ...common, peers: [off], hub, jsonFile: file('telemetry') });
  await connectChurn({
    ...common,
    kinds: ['connect and leave', 'wrong key'],
    variants: [OFF],
    inFlight,
    jsonFile: file('connections'),
  });
}
