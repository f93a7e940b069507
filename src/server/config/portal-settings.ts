/** Settings of the portal; part of the one schema (`config.ts`). */
import type { z } from 'zod';
import { flag, list } from './config-kinds.ts';
import type { SettingMeta } from './setting.ts';

type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

/** Scheme, host and port as browsers send them in `Origin`. */
const originPattern = /^https?:\/\/(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

export function portalSettings(documented: Documented) {
  return {
    portal: documented(flag().default(true), {
      topic: 'Names and reach',
      meaning: 'Whether the admin port serves the portal, the hub in a browser, at `/`.',
      form: 'on or off',
    }),
    portalOrigin: documented(list(originPattern, 16).default([]), {
      topic: 'Names and reach',
      meaning:
        'Addresses under which a proxy shows the portal to browsers, with scheme and port as the browser shows them. Requests of ' +
        'pages from there are taken as those of the portal itself. With `https` you say that the proxy speaks TLS with browsers.',
      otherwise: 'none: only pages of the admin port itself',
      form: 'origins like `https://hub.example`, separated by commas',
    }),
  };
}
