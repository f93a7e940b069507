import { identityName } from '../identity/permissions.ts';
import type { IdentityKey } from '../identity/types.ts';

/** Which modules of a device are connected; devices themselves cost nothing. */
export class ConnectedModules {
  readonly #byDevice = new Map<string, Set<string>>();

  add({ deviceId, moduleId }: IdentityKey): void {
    if (moduleId === undefined) return;
    const modules = this.#byDevice.get(deviceId) ?? new Set<string>();
    this.#byDevice.set(deviceId, modules.add(moduleId));
  }

  remove({ deviceId, moduleId }: IdentityKey): void {
    if (moduleId === undefined) return;
    const modules = this.#byDevice.get(deviceId);
    modules?.delete(moduleId);
    if (modules?.size === 0) this.#byDevice.delete(deviceId);
  }

  /** Their names as identities. */
  of(deviceId: string): readonly string[] {
    return [...(this.#byDevice.get(deviceId) ?? [])].map((moduleId) => identityName({ deviceId, moduleId }));
  }
}
