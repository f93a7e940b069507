/**
 * In which order the lines of a file are carried out: a module needs its device, and what is below an edge device needs that, wherever
 * they stand in the file. So the file is read once for each kind of line that it holds; within a kind the order is the file's.
 */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../twins/types.ts';
import { modeOf, parseLine } from './device-line.ts';
import type { Line } from './lines.ts';

const SCOPE = /^ms-azure-iot-edge:\/\/(.+)-\d+$/;

/** The edge device that a scope names; undefined = it is none. */
export function deviceOfScope(scope: string): string | undefined {
  return SCOPE.exec(scope)?.[1];
}

export const passes: readonly string[] = [
  'module deletions',
  'devices',
  ...Array.from({ length: limits.edgeNestingMax }, (_, at) => `edge devices ${at + 1}`),
  'children',
  'modules',
];
const DEVICES = 1;
const EDGES = 2;
const CHILDREN = EDGES + limits.edgeNestingMax;
const MODULES = CHILDREN + 1;

/** What only few lines have. */
const marks = ['"moduleId"', '"parentScopes"', '"deviceScope"'].map((text) => Buffer.from(text));

/** Finds out of which pass a line is; first all lines are `seen`, for an edge device may stand before its parent. */
export class Passes {
  readonly #parents = new Map<string, string>();
  readonly #counts = passes.map(() => 0);
  readonly #edges: string[] = [];
  #lines = 0;

  /** @throws HubError ArgumentInvalid: more edge devices are below others than are kept in mind */
  see(line: Line): void {
    this.#lines++;
    const kind = kindOf(line);
    if (typeof kind === 'number') this.#counts[kind]++;
    else {
      if (this.#edges.length >= limits.registryJobEdgesMax) {
        throw new HubError(
          'ArgumentInvalid',
          `The file has more than ${limits.registryJobEdgesMax} edge devices below others.`,
        );
      }
      this.#edges.push(kind.id);
      this.#parents.set(kind.id, kind.parent);
    }
  }

  /** Lines that were seen. */
  get lines(): number {
    return this.#lines;
  }

  /** Passes that have lines, in their order. */
  needed(): readonly number[] {
    const levels = new Set(this.#edges.map((id) => this.#levelOf(id)));
    return passes.flatMap((_, at) => (this.#counts[at] > 0 || levels.has(at) ? [at] : []));
  }

  passOf(line: Line): number {
    const kind = kindOf(line);
    return typeof kind === 'number' ? kind : this.#levelOf(kind.id);
  }

  #levelOf(id: string): number {
    let level = 0;
    for (let at = this.#parents.get(id); at !== undefined && level < limits.edgeNestingMax; level++) {
      at = this.#parents.get(at);
    }
    return EDGES + Math.min(Math.max(level, 1), limits.edgeNestingMax) - 1;
  }
}

/** The pass, or of an edge device that is below another, which one. What cannot be read is told in the pass of devices. */
function kindOf({ bytes }: Line): number | { readonly id: string; readonly parent: string } {
  if (bytes === undefined) return DEVICES;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!marks.some((mark) => text.includes(mark))) return DEVICES;
  let line: JsonObject;
  try {
    line = parseLine(bytes);
  } catch {
    return DEVICES;
  }
  if (typeof line.moduleId === 'string') return modeOf(line)?.startsWith('delete') === true ? 0 : MODULES;
  const named = line.id ?? line.deviceId;
  const id = typeof named === 'string' ? named : '';
  const parent = parentOf(line, id);
  // What is longer than an id or a scope may be is refused in any pass, and must not be kept in mind.
  if (parent === undefined || id.length > limits.identityIdCharsMax || parent.length > limits.scopeCharsMax)
    return DEVICES;
  const capabilities = line.capabilities as JsonObject | null | undefined;
  return capabilities?.iotEdge === true ? { id, parent } : CHILDREN;
}

function parentOf(line: JsonObject, id: string): string | undefined {
  const scopes = [...(Array.isArray(line.parentScopes) ? (line.parentScopes as JsonValue[]) : []), line.deviceScope];
  for (const scope of scopes) {
    if (typeof scope !== 'string' || scope === '') continue;
    const parent = deviceOfScope(scope);
    if (parent !== id) return parent ?? scope;
  }
  return undefined;
}
