/** What one server is to the adapter: how it speaks, and where its API is. */
import type { ApiCall, Downlink } from './api-call.ts';
import { chirpStackCall, readChirpStack } from './chirpstack.ts';
import type { LoraEvent } from './events.ts';
import type { DownlinkSettings, NetworkSettings } from './settings.ts';
import { readTheThingsStack, theThingsStackCall } from './the-things-stack.ts';

/** @param event of the query @throws NotUnderstood */
export function readEvent(kind: NetworkSettings['kind'], body: unknown, event: string | null): LoraEvent {
  return kind === 'chirpstack' ? readChirpStack(body, event) : readTheThingsStack(body);
}

export function callFor(kind: NetworkSettings['kind'], settings: DownlinkSettings, downlink: Downlink): ApiCall {
  return kind === 'chirpstack' ? chirpStackCall(downlink) : theThingsStackCall(settings, downlink);
}
