import { worstDevicesSchema } from '../../api/worst-devices.ts';
import type { Hub } from '../../core/hub.ts';
import { type ApiRoute, route } from './route.ts';
import { WorstDevices, type WorstDevicesHub } from './worst-devices.ts';

export function worstDevicesRoutes(hub: WorstDevicesHub & Pick<Hub, 'guard'>): readonly ApiRoute[] {
  const devices = new WorstDevices(hub);
  return [
    route({
      method: 'GET',
      url: '/mooring/v1/worst-devices',
      summary:
        'The devices to look at first, worst first: refused most often, connections broken most often, silent for longest, most commands waiting',
      tag: 'monitoring',
      answers: { 200: worstDevicesSchema },
      handle: async ({ principal }) => {
        hub.guard.demand(principal, 'events.read');
        hub.guard.demand(principal, 'fleet.query');
        return { status: 200, body: await devices.find(principal) };
      },
    }),
  ];
}
