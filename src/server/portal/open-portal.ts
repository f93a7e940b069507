/** Makes what the portal of the admin port needs: sessions, the files of the page, the secret for `mooring portal`. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { Policy } from '../../core/identity/types.ts';
import type { Recorder } from '../../core/monitoring/types.ts';
import type { PortalOptions } from '../../protocols/http/options.ts';
import { Pages } from '../../protocols/http/portal/pages.ts';
import { PortalSessions } from '../../protocols/http/portal/sessions.ts';
import type { Settings } from '../config/config.ts';
import type { DataFolder } from '../data/data-folder.ts';
import { writeFileDurably } from '../data/data-folder.ts';
import type { Shutdown } from '../lifecycle.ts';
import type { Health } from '../observe/health/health.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Storage } from '../storage/storage.ts';
import { Sampler } from './sampler.ts';
import { storedMonitoring } from './stored-monitoring.ts';

/** In the data folder, readable by the hub's own user; `mooring portal` shows what is in it to the admin port. */
export const PORTAL_SECRET_FILE = 'portal.secret';

export interface PortalParts {
  readonly settings: Pick<Settings, 'portal' | 'portalOrigin' | 'adminPort' | 'retentionDays'>;
  readonly folder: DataFolder;
  readonly policies: readonly Policy[];
  readonly metrics: Pick<Metrics, 'registry'>;
  readonly health: Health;
  readonly recorder: Recorder;
  readonly onDisk: Storage['onDisk'];
  readonly telemetry: EventLog;
  /** Its monitoring stream and this node's name, where the hub is several nodes. */
  readonly among?: { readonly node: string; readonly monitoring: EventLog };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly shutdown: Shutdown;
}

export interface OpenPortal extends Pick<PortalOptions, 'overview' | 'history' | 'node' | 'liveEvents'> {
  readonly sessions: PortalSessions;
  readonly pages: Pages;
  readonly owner: Policy;
  readonly secret: string;
  readonly publicOrigins: readonly string[];
  readonly version: string;
}

const OWNER = 'iothubowner';
const SWEEP_MS = 60_000;

/** Undefined where it is switched off, or has no port. */
export async function openPortal(parts: PortalParts): Promise<OpenPortal | undefined> {
  const { settings, folder, policies, clock, random, log, shutdown, metrics, health, onDisk, recorder, telemetry } =
    parts;
  const { among } = parts;
  const file = folder.file(PORTAL_SECRET_FILE);
  const owner = policies.find(({ name }) => name === OWNER);
  if (!settings.portal || settings.adminPort === 'off' || owner === undefined) {
    rmSync(file, { force: true });
    return undefined;
  }
  const secret = random.bytes(32).toString('base64url');
  writeFileDurably(file, `${secret}\n`);
  shutdown.add('portal secret', () => rmSync(file, { force: true }));
  const sessions = new PortalSessions(clock, random, {
    opened: ({ id, principal: { policyName, peer } }) =>
      recorder.record({ type: 'sessionOpened', policyName, session: id, ...(peer !== undefined && { peer }) }),
    ended: ({ id, principal: { policyName } }, reason) =>
      recorder.record({ type: 'sessionEnded', policyName, session: id, reason }),
  });
  let cancel = (): void => {};
  const sweep = (): void => {
    cancel = clock.after(SWEEP_MS, () => {
      sessions.sweep();
      sweep();
    });
  };
  sweep();
  shutdown.add('portal sessions', () => cancel());
  const sampler = await Sampler.open({
    ...{ hubName: folder.facts.hubName, registry: metrics.registry, health, folder: folder.path, onDisk, clock, log },
    file: folder.file('portal.history'),
    ...{ telemetry, retentionDays: settings.retentionDays },
  });
  shutdown.add('portal history', () => sampler.close());
  return {
    ...(among !== undefined && { node: among.node, liveEvents: { watch: storedMonitoring(among.monitoring, log) } }),
    overview: () => sampler.overview(),
    history: (from, to, points) => sampler.history(from, to, points),
    sessions,
    pages: new Pages(pagesFolder(), clock, log),
    owner,
    secret,
    publicOrigins: settings.portalOrigin.map((origin) => origin.toLowerCase()),
    version: version(),
  };
}

/** A code for the link that the start prints. */
export const startCode = ({ sessions }: OpenPortal): string => sessions.code(limits.portalStartCodeMs);

/** Beside this program where it is built, else where `npm run portal` puts them. */
function pagesFolder(): string {
  const built = path.join(import.meta.dirname, '..', '..', 'portal');
  return existsSync(path.join(built, 'index.html')) ? built : path.join(import.meta.dirname, '../../../portal/dist');
}

/** That of the package; the file lies three folders up from the source and from what is built of it alike. */
function version(): string {
  return JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version;
}
