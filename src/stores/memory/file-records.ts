import type { FileRecords, FoundUpload, NewNotification } from '../../core/files/ports.ts';
import type { FileNotification } from '../../core/files/types.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';

interface Waiting {
  readonly notification: FileNotification;
  readonly expiresAt: number;
  lockToken: string | undefined;
  lockedUntil: number;
  deliveryCount: number;
}

/** Uploads and their notifications in memory. @param identities the registry's, to know which generations are there */
export function createMemoryFileRecords(identities: {
  get(key: IdentityKey): Promise<Pick<Identity, 'generationId'> | undefined>;
}): FileRecords {
  const uploads = new Map<string, Map<string, FoundUpload>>();
  const waiting: Waiting[] = [];
  let kept: Uint8Array | undefined;
  let sequence = 0;

  const uploadsOf = (key: IdentityKey): Map<string, FoundUpload> => uploads.get(identityName(key)) ?? new Map();
  const add = ({ expiresAt, ...notification }: NewNotification): void => {
    sequence += 1;
    waiting.push({
      notification: { sequence, ...notification },
      expiresAt,
      lockToken: undefined,
      lockedUntil: 0,
      deliveryCount: 0,
    });
  };

  return {
    async secret(fresh) {
      kept ??= fresh;
      return kept;
    },
    async open(upload, openMax, now) {
      const identity = await identities.get(upload.key);
      if (identity?.generationId !== upload.generationId) return { kind: 'gone' };
      const own = uploadsOf(upload.key);
      const open = [...own.values()].filter((other) => other.isOpen && other.expiresAt > now).length;
      if (open >= openMax) return { kind: 'full', open };
      own.set(upload.correlationId, { ...upload, isOpen: true });
      uploads.set(identityName(upload.key), own);
      return { kind: 'opened' };
    },
    find: async (key, correlationId) => uploadsOf(key).get(correlationId),
    async close(key, correlationId, notification, now) {
      const own = uploadsOf(key);
      const upload = own.get(correlationId);
      if (upload === undefined || !upload.isOpen || upload.expiresAt <= now) return false;
      own.set(correlationId, { ...upload, isOpen: false });
      if (notification !== undefined) add(notification);
      return true;
    },
    async forget(key) {
      uploads.delete(identityName(key));
    },
    async lock({ lockToken, lockMs }, now) {
      const next = waiting.find((entry) => entry.expiresAt > now && entry.lockedUntil <= now);
      if (next === undefined) return undefined;
      next.lockToken = lockToken;
      next.lockedUntil = now + lockMs;
      const { notification, lockedUntil, deliveryCount } = next;
      return { notification, lockToken, lockedUntil, deliveryCount };
    },
    async settle(lockToken, settlement, deliveryCountMax, now) {
      const at = waiting.findIndex((entry) => entry.lockToken === lockToken && entry.lockedUntil > now);
      if (at === -1) return false;
      const held = waiting[at];
      if (settlement === 'complete' || held.deliveryCount + 1 >= deliveryCountMax) waiting.splice(at, 1);
      else {
        held.deliveryCount += 1;
        held.lockToken = undefined;
        held.lockedUntil = 0;
      }
      return true;
    },
    async sweep(count, now) {
      let swept = 0;
      for (const [name, own] of uploads) {
        for (const [id, { expiresAt }] of own) if (expiresAt <= now && swept < count && own.delete(id)) swept += 1;
        if (own.size === 0) uploads.delete(name);
      }
      const over = waiting.filter((entry) => entry.expiresAt <= now && entry.lockedUntil <= now).slice(0, count);
      for (const entry of over) waiting.splice(waiting.indexOf(entry), 1);
      return swept + over.length;
    },
    async totals(now) {
      const open = [...uploads.values()].flatMap((own) => [...own.values()]);
      return {
        uploadsOpen: open.filter((upload) => upload.isOpen && upload.expiresAt > now).length,
        notifications: waiting.filter((entry) => entry.expiresAt > now).length,
      };
    },
  };
}
