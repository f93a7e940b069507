/** What endpoints of routes may reach. */
import type { z } from 'zod';
import { flag } from './config-kinds.ts';
import type { SettingMeta } from './setting.ts';

type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

export function endpointSettings(documented: Documented) {
  return {
    endpointPrivateAddresses: documented(flag().default(false), {
      topic: 'Routes',
      meaning:
        'Whether webhooks may have addresses that are not public (this machine, private networks), and plain HTTP. Off: whoever may declare ' +
        "endpoints cannot have the hub call what stands beside it. On, if receivers stand in the hub's own network.",
      form: 'on or off',
    }),
  };
}
