/** All routes of the management API, for the HTTPS port and for the portal. */
import type { Hub } from '../../core/hub.ts';
import { archiveRoutes } from './archive-routes.ts';
import { authorityRoutes } from './authority-routes.ts';
import { backEndFileRoutes } from './back-end-file-routes.ts';
import { bulkChangeRoutes } from './bulk-change-routes.ts';
import { commandRoutes } from './command-routes.ts';
import { configurationRoutes } from './configuration-routes.ts';
import { deviceEventsRoutes } from './device-events-routes.ts';
import { deviceRoutes } from './device-routes.ts';
import { digitalRoutes } from './digital-routes.ts';
import { edgeScopeRoutes } from './edge-scope-routes.ts';
import { eventRouteRoutes } from './event-route-routes.ts';
import { fileRoutes } from './file-routes.ts';
import { hubRoutes } from './hub-routes.ts';
import { jobRoutes } from './job-routes.ts';
import { liveRoutes } from './live-routes.ts';
import { nodeRoutes } from './node-routes.ts';
import type { ApiParts } from './options.ts';
import { queryRoutes } from './query-routes.ts';
import { registryJobRoutes } from './registry-job-routes.ts';
import { registryRoutes } from './registry-routes.ts';
import { rolloutRoutes } from './rollout-routes.ts';
import type { ApiRoute } from './route.ts';
import { serverAuthorityRoutes } from './server-authority-routes.ts';
import { twinRoutes } from './twin-routes.ts';
import { worstDevicesRoutes } from './worst-devices-routes.ts';

export function apiRoutes(hub: Hub, options: ApiParts): readonly ApiRoute[] {
  return [
    ...registryRoutes(hub),
    ...edgeScopeRoutes(hub),
    ...twinRoutes(hub),
    ...queryRoutes(hub),
    ...jobRoutes(hub, options.registryJobs),
    ...liveRoutes(hub),
    ...configurationRoutes(hub),
    ...digitalRoutes(hub),
    ...commandRoutes(hub),
    ...deviceEventsRoutes(hub),
    ...worstDevicesRoutes(hub),
    ...(options.bulkChanges === undefined ? [] : bulkChangeRoutes(hub, options.bulkChanges)),
    ...deviceRoutes(hub),
    ...fileRoutes(hub, options.files?.downloads),
    ...(options.files === undefined ? [] : backEndFileRoutes(hub, options.files.downloads)),
    ...(options.files === undefined ? [] : rolloutRoutes(options.files.rollouts)),
    ...(options.archives === undefined ? [] : archiveRoutes(options.archives)),
    ...(options.routes === undefined ? [] : eventRouteRoutes(options.routes)),
    ...(options.registryJobs === undefined ? [] : registryJobRoutes(options.registryJobs)),
    ...hubRoutes(hub),
    ...authorityRoutes(hub),
    ...serverAuthorityRoutes(hub, options.authority),
    ...nodeRoutes(hub, options.nodes),
  ];
}

/** Where back ends put files: a body there may take as long as it goes on. */
export function isFileUrl(url: string): boolean {
  return /^(?:\/portal\/api)?\/mooring\/v1\/(?:devices\/[^/?]+\/(?:modules\/[^/?]+\/)?)?files\//i.test(url);
}
