/** A fleet with everything that a registry can hold, at random but repeatable. */
import type { Random } from '../../src/base/random.ts';
import type { IdentityDraft } from '../../src/core/identity/registry-room.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import type { JsonObject, JsonValue } from '../../src/core/twins/types.ts';

type Numbers = Random & { next(): number };

export interface FleetMember {
  readonly draft: IdentityDraft;
  /** The edge device that it is below. */
  readonly parent: string | undefined;
  readonly tags: JsonObject | undefined;
  readonly desired: JsonObject | undefined;
  readonly reported: JsonObject | undefined;
}

export const keyOf = ({ deviceId, moduleId }: IdentityKey): IdentityKey =>
  moduleId === undefined ? { deviceId } : { deviceId, moduleId };

/** Parents before children, devices before modules. */
export function randomFleet(random: Numbers, devices: number): readonly FleetMember[] {
  const below = (count: number): number => Math.floor(random.next() * count);
  const one = <T>(list: readonly T[]): T => list[below(list.length)];
  const maybe = <T>(make: () => T): T | undefined => (random.next() < 0.5 ? make() : undefined);
  const key = (): string => random.bytes(16 + below(49)).toString('base64');
  const thumbprint = (): string => random.bytes(one([20, 32])).toString('hex');

  const authentication = (): NonNullable<IdentityDraft['authentication']> => {
    const type = one(['sas', 'sas', 'selfSigned', 'certificateAuthority', 'none'] as const);
    if (type === 'sas') return { type, symmetricKey: { primaryKey: key(), secondaryKey: key() } };
    if (type !== 'selfSigned') return { type };
    return {
      type,
      x509Thumbprint: { primaryThumbprint: thumbprint(), secondaryThumbprint: maybe(thumbprint) ?? null },
    };
  };
  const names = ['a', 'B', 'ä', '名', '__proto__', 'constructor', 'toString', 'q\'"', 'x-y', '0', '\u200d'];
  const value = (depth: number): JsonValue => {
    const kind = below(depth > 3 ? 4 : 6);
    if (kind === 0) return one(['', 'text', 'ü\n"\\', '\u0001', 'x'.repeat(200), '1']);
    if (kind === 1) return one([0, -0.5, 1e300, 4503599627370495, 3, 1e-7]);
    if (kind === 2 || kind === 3) return random.next() < 0.5;
    if (kind === 4) return Array.from({ length: below(3) }, () => value(depth + 1));
    return object(depth + 1);
  };
  const object = (depth: number): JsonObject => {
    const made = Object.create(null) as Record<string, JsonValue>;
    for (let nth = below(4); nth > 0; nth--) made[one(names)] = value(depth);
    return made;
  };
  const letters = "abzABZ019-:.+%_#*?!(),=@;$'";
  // No other number makes the same: `n` is none of the letters.
  const id = (nth: number): string =>
    `${Array.from({ length: 1 + below(6) }, () => one([...letters])).join('')}n${nth}`;
  const twin = () => ({
    tags: maybe(() => object(0)),
    desired: maybe(() => object(0)),
    reported: maybe(() => object(0)),
  });

  const fleet: FleetMember[] = [];
  const edges: { readonly id: string; readonly depth: number }[] = [];
  for (let nth = 0; nth < devices; nth++) {
    const deviceId = id(nth);
    const iotEdge = random.next() < 0.3;
    const parents = edges.filter(({ depth }) => depth < (iotEdge ? 4 : 5));
    const parent = parents.length > 0 ? maybe(() => one(parents)) : undefined;
    const draft: IdentityDraft = {
      ...{ deviceId, authentication: authentication(), capabilities: { iotEdge } },
      status: one(['enabled', 'disabled']),
      statusReason: maybe(() => one(['', 'why', 'ü'])) ?? null,
    };
    fleet.push({ draft, parent: parent?.id, ...twin() });
    if (iotEdge) edges.push({ id: deviceId, depth: (parent?.depth ?? 0) + 1 });
  }
  for (const { draft } of [...fleet]) {
    for (let nth = below(3); nth > 0; nth--) {
      const module = { deviceId: draft.deviceId, moduleId: id(nth), authentication: authentication() };
      fleet.push({ draft: { ...module, managedBy: maybe(() => 'some one') ?? null }, parent: undefined, ...twin() });
    }
  }
  return fleet;
}
