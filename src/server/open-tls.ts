import type { Settings } from './config/config.ts';
import type { DataFolder } from './data/data-folder.ts';
import type { Nodes } from './nodes/nodes.ts';
import { subjectNames } from './reach.ts';
import type { Storage } from './storage/storage.ts';
import type { Surroundings } from './surroundings.ts';
import { openOwnTls } from './tls/own-tls.ts';
import { openPrivateTls, type ServerTls } from './tls/tls-source.ts';

/** The hub's certificates: the operator's own, else those of its private authority, which nodes share. */
export async function openTls(
  settings: Settings,
  folder: DataFolder,
  names: readonly string[],
  surroundings: Surroundings,
  nodes: Nodes | undefined,
  { nodes: shared, clock }: Storage,
): Promise<{ readonly tls: ServerTls; reload(): Promise<void> }> {
  const open = () => openOneTls(settings, folder, names, surroundings);
  if (nodes === undefined || shared === undefined) return asItIs(open);
  const { openSharedTls, withSharedTickets } = await import('./nodes/shared-tls.ts');
  const { secrets } = shared;
  const { log, random } = surroundings;
  const changed = (): void => nodes.hint('certificates');
  const parts = { secrets, folder: folder.file('tls'), log, changed };
  const isOwn = settings.tlsCertFile !== undefined;
  const { tls, reload } = isOwn ? await asItIs(open) : await openSharedTls(parts, open);
  return { tls: await withSharedTickets(tls, { secrets, clock, random, log }), reload };
}

/** The operator's own certificate: each node has what its files hold. */
async function asItIs(open: () => Promise<ServerTls>) {
  const tls = await open();
  return { tls, reload: () => tls.reload() };
}

async function openOneTls(
  settings: Settings,
  folder: DataFolder,
  names: readonly string[],
  surroundings: Surroundings,
): Promise<ServerTls> {
  const { tlsCertFile, tlsKeyFile, tlsSecondCertFile, tlsSecondKeyFile, tlsCaFile } = settings;
  if (tlsCertFile !== undefined && tlsKeyFile !== undefined) {
    const hasSecond = tlsSecondCertFile !== undefined && tlsSecondKeyFile !== undefined;
    const files = {
      certFile: tlsCertFile,
      keyFile: tlsKeyFile,
      ...(hasSecond && { second: { certFile: tlsSecondCertFile, keyFile: tlsSecondKeyFile } }),
      ...(tlsCaFile !== undefined && { caFile: tlsCaFile }),
    };
    return openOwnTls(files, surroundings);
  }
  const tls = await openPrivateTls(folder.file('tls'), folder.facts.hubName, subjectNames(names), surroundings);
  if (folder.parts.parts.tls !== true) await folder.parts.keep({ tls: true });
  return tls;
}
