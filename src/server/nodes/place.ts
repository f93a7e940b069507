/** What this node is called, where it is reached, and what names the folder that it alone holds. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { Settings } from '../config/config.ts';

const NAME = /[^A-Za-z0-9._-]/g;

export function nodeNameOf({ nodeName }: Pick<Settings, 'nodeName'>): string {
  return nodeName ?? (hostname().replaceAll(NAME, '-').slice(0, 64) || 'node');
}

export function nodeAddressOf({ nodeAddress, bindAddress }: Pick<Settings, 'nodeAddress' | 'bindAddress'>): string {
  if (nodeAddress !== undefined) return nodeAddress;
  if (bindAddress === undefined) return '127.0.0.1';
  const named = bindAddress.find((address) => isIP(address) !== 0 && address !== '0.0.0.0' && address !== '::');
  return named ?? hostname();
}

/**
 * Names a data folder of this machine, in this run of it. A process that holds the folder knows by it that an older node of the same
 * folder has ended; a copy of the folder, or the folder after a restart of the machine, is another one.
 */
export function folderNameOf(folder: string): string {
  const { dev, ino } = statSync(folder);
  let boot = '';
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Another system: the name of the machine must do.
  }
  return createHash('sha256')
    .update(JSON.stringify([hostname(), boot, dev, ino]))
    .digest('hex');
}

/** Of the program; two nodes of different versions may serve the hub together. */
export function programVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
