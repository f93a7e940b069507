import { setTimeout as sleep } from 'node:timers/promises';
import { readToEnd } from '../test/reliability/event-reader.ts';
import type { RunningHub } from './servers/hub.ts';

/** What a hub's monitoring stream holds. */
export interface StreamFacts {
  /** Events by type, and ends of connections also as `disconnected REASON`. */
  readonly events: ReadonlyMap<string, number>;
  /** Failed authentications, their sums added up. */
  readonly refusals: number;
}

/** Sums are told within ten seconds, and those of a busy hub somewhat later. */
const TOLD_MS_MAX = 60_000;
const LOOK_MS = 500;

/** Reads the whole stream, again and again until it `holds` what is waited for. @throws Error when that does not come */
export async function streamFacts(hub: RunningHub, holds: (facts: StreamFacts) => boolean): Promise<StreamFacts> {
  const { connectionStrings, ports } = hub.endpoints;
  const place = { port: ports.amqp as number, connectionString: connectionStrings.monitoringEmulator };
  const deadline = Date.now() + TOLD_MS_MAX;
  for (;;) {
    const events = new Map<string, number>();
    const count = (name: string): unknown => events.set(name, (events.get(name) ?? 0) + 1);
    let refusals = 0;
    await readToEnd(place, new Map(), ({ body }) => {
      const event = JSON.parse(body.toString()) as { type: string; reason?: string; count?: number };
      count(event.type);
      if (event.type === 'disconnected') count(`disconnected ${event.reason}`);
      if (event.type === 'authenticationFailed') refusals += event.count ?? 0;
    });
    const facts = { events, refusals };
    if (holds(facts)) return facts;
    if (Date.now() > deadline) {
      throw new Error(`the monitoring stream does not add up: ${JSON.stringify([[...events], refusals])}`);
    }
    await sleep(LOOK_MS);
  }
}
