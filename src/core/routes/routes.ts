import type { Clock } from '../../base/clock.ts';
import { HubError } from '../errors.ts';
import type { EventLog } from '../events/ports.ts';
import type { HubEventStamp, TelemetrySystem } from '../events/types.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { RoutingConditions } from '../query/routing-conditions.ts';
import { routeCalls } from './calls.ts';
import { messageSourceOf, SetDecider } from './decider.ts';
import { endpointJson } from './endpoints/kinds.ts';
import type { RouteStore } from './ports.ts';
import type { RoutePart, Routes, TestedEvent } from './room.ts';
import { nextSet, readDeclaration } from './rules.ts';
import type { EndpointState } from './states.ts';
import type { TwinLoader } from './twin-cache.ts';
import { type RouteDeclaration, type RouteSet, routeSources } from './types.ts';

export interface RoutesParts {
  readonly guard: Guard;
  readonly store: RouteStore;
  /** The log that routes are about. */
  readonly telemetry: Pick<EventLog, 'partitionCount' | 'partition'>;
  readonly newConditions: () => RoutingConditions;
  readonly loadTwin: TwinLoader;
  /** A set has come: resolves when it is in force in all of this process. */
  readonly apply: (set: RouteSet) => Promise<void>;
  readonly states: () => Promise<readonly EndpointState[]>;
  /** The file in which routes are declared; undefined = they are changed by calls. */
  readonly file: string | undefined;
  readonly clock: Clock;
}

export interface OwnRoutes {
  readonly routes: Guarded<Routes>;
  /** Puts a declaration in force that the operator has written. @throws HubError as `Routes.replace` */
  declare(declaration: RouteDeclaration): Promise<void>;
}

/** How often a change is tried again that another one came before. */
const ATTEMPTS_MAX = 5;

export function createRoutes(parts: RoutesParts): OwnRoutes {
  const { store, telemetry, clock, newConditions } = parts;

  const check = (condition: string): void => void newConditions().add(condition);
  const changeable = (): void => {
    if (parts.file === undefined) return;
    throw new HubError(
      'OperationNotAvailable',
      `Routes are declared in ${parts.file} (routesFile): change them there.`,
    );
  };

  /** @param declare What comes in the place of a set; undefined = nothing changes */
  async function change(declare: (before: RouteSet) => RouteDeclaration | undefined): Promise<RouteSet> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const before = await store.load();
      const declaration = declare(before);
      if (declaration === undefined) return before;
      const set = nextSet(before, declaration, clock.now());
      // Read before the set is there: no event can be for an endpoint that comes with it.
      const facts = await Promise.all(
        Array.from({ length: telemetry.partitionCount }, (_, partition) => telemetry.partition(partition)),
      );
      const begins = facts.map(({ lastSequence }) => lastSequence + 1);
      if (!(await store.replace(set, begins))) continue;
      await parts.apply(set);
      return set;
    }
    throw new HubError('ServiceUnavailable', 'Others change the routes at the same time; try again.');
  }

  const room: Routes = {
    get: () => store.load(),
    async replace(_principal, declaration, ifNumber) {
      changeable();
      return change((before) => {
        if (ifNumber !== undefined && ifNumber !== before.number) {
          throw new HubError(
            'PreconditionFailed',
            `The routes in force have number ${before.number}, not ${ifNumber}.`,
          );
        }
        return readDeclaration(declaration, check, before);
      });
    },
    async put(_principal, part, entry) {
      changeable();
      return change((before) => {
        const json = jsonOf(before);
        const list = json[part].filter((each) => nameOf(part, each) !== nameOf(part, entry));
        return readDeclaration({ ...json, [part]: [...list, entry] }, check, before);
      });
    },
    async remove(_principal, part, name) {
      changeable();
      return change((before) => {
        const json = jsonOf(before);
        const list = json[part].filter((each) => nameOf(part, each) !== name.toLowerCase());
        if (list.length === json[part].length) {
          throw new HubError('ArgumentInvalid', `There is none of the name '${name}' among ${part}.`);
        }
        return readDeclaration({ ...json, [part]: list }, check, before);
      });
    },
    async test(_principal, event) {
      const { deviceId, moduleId, condition } = event;
      const source = routeSources.find((each) => each === (event.source ?? 'DeviceMessages'));
      if (source === undefined) {
        throw new HubError('ArgumentInvalid', `source: it must be one of ${routeSources.join(', ')}.`);
      }
      const current = await store.load();
      const set =
        condition === undefined
          ? current
          : { ...current, routes: [{ name: 'tested', source, condition, endpoint: 'events', isEnabled: true }] };
      if (
        event.route !== undefined &&
        !set.routes.some(({ name }) => name.toLowerCase() === event.route?.toLowerCase())
      ) {
        throw new HubError('ArgumentInvalid', `There is no route '${event.route}'.`);
      }
      const decider = new SetDecider(set, newConditions());
      const stamp: HubEventStamp = {
        source: messageSourceOf(source),
        ...(deviceId !== undefined && { deviceId }),
        ...(moduleId !== undefined && { moduleId }),
        ...stampOf(event.systemProperties),
      };
      const key = deviceId === undefined ? undefined : { deviceId, ...(moduleId !== undefined && { moduleId }) };
      const twin = event.twin ?? (key && (await parts.loadTwin(key)));
      const message = { system: systemOf(event), properties: Object.entries(event.properties) };
      return decider.explain({ stamp, message, body: event.body, time: clock.now(), twin }, event.route);
    },
    states: () => parts.states(),
  };
  return {
    routes: parts.guard.room(room, routeCalls),
    async declare(declaration) {
      await change((before) => (sameDeclaration(before, declaration) ? undefined : declaration));
    },
  };
}

/** The declaration of a set, as JSON that `readDeclaration` takes. */
export function jsonOf(set: RouteSet): {
  readonly routes: readonly unknown[];
  readonly fallback: unknown;
  readonly enrichments: readonly unknown[];
  readonly endpoints: readonly unknown[];
} {
  const { routes, fallback, enrichments } = set;
  return { routes, fallback, enrichments, endpoints: set.endpoints.map(({ endpoint }) => endpointJson(endpoint)) };
}

function sameDeclaration(set: RouteSet, { routes, fallback, enrichments, endpoints }: RouteDeclaration): boolean {
  const declared = { routes, fallback, enrichments, endpoints: endpoints.map(endpointJson) };
  return JSON.stringify(jsonOf(set)) === JSON.stringify(declared);
}

function nameOf(part: RoutePart, entry: unknown): string | undefined {
  const { name, key } = (entry ?? {}) as { readonly name?: unknown; readonly key?: unknown };
  const found = part === 'enrichments' ? key : name;
  return typeof found === 'string' ? found.toLowerCase() : undefined;
}

const systemFields = ['contentType', 'contentEncoding', 'messageId', 'correlationId', 'userId', 'to'] as const;

function systemOf({ systemProperties }: TestedEvent): TelemetrySystem {
  const known = new Map(Object.entries(systemProperties).map(([name, value]) => [name.toLowerCase(), value]));
  const system: Partial<Record<keyof TelemetrySystem, string>> = {};
  for (const field of systemFields) {
    const value = known.get(field.toLowerCase());
    if (value !== undefined) system[field] = value;
  }
  const subject = known.get('dt-subject');
  if (subject !== undefined) system.subject = subject;
  return system as TelemetrySystem;
}

function stampOf(systemProperties: Readonly<Record<string, string>>): Partial<HubEventStamp> {
  const known = new Map(Object.entries(systemProperties).map(([name, value]) => [name.toLowerCase(), value]));
  const [modelId, authMethod, generationId] = [
    'dt-dataschema',
    'connectionauthmethod',
    'connectiondevicegenerationid',
  ].map((name) => known.get(name));
  return {
    ...(modelId !== undefined && { modelId }),
    ...(authMethod !== undefined && { authMethod }),
    ...(generationId !== undefined && { generationId }),
  };
}
