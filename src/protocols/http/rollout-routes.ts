/** Files that go to many devices in waves: this hub's own, under `/mooring/v1`. */
import { z } from 'zod';
import {
  type RolloutJson,
  rolloutRequestSchema,
  rolloutSchema,
  rolloutsSchema,
  rolloutTargetsSchema,
} from '../../api/files.ts';
import { limits } from '../../base/limits.ts';
import type { Rollout } from '../../core/files/rollout-types.ts';
import type { Rollouts } from '../../core/files/room.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import { identityKey } from './addresses.ts';
import { type ApiRoute, route } from './route.ts';

const url = '/mooring/v1/file-rollouts';
const tag = 'files';
const DAY_SECONDS = 86_400;

const listQuery = z.object({ after: z.string().optional(), limit: z.coerce.number().int().positive().optional() });
const targetQuery = z.object({
  state: z.enum(['waiting', 'told', 'fetched', 'failed']).optional(),
  after: z.coerce.number().int().optional(),
  limit: z.coerce.number().int().positive().optional(),
});

export function rolloutRoutes(rollouts: Guarded<Rollouts>): readonly ApiRoute[] {
  return [
    route({
      method: 'POST',
      url,
      summary:
        "Lets devices fetch a file of the hub's part in waves, each told by a command; stops where too many fail",
      tag,
      body: rolloutRequestSchema,
      bodyBounds: { valuesMax: limits.rolloutDevicesMax * 3 + 10 },
      answers: { 201: rolloutSchema },
      handle: async ({ principal, body }) => {
        const { waveSize = limits.rolloutWaveMax, pauseSeconds = 0, fetchSeconds = DAY_SECONDS } = body;
        const plan = {
          waveSize,
          pauseMs: pauseSeconds * 1000,
          fetchMs: fetchSeconds * 1000,
          failedShareMax: body.failedShareMax ?? 0.1,
        };
        const rollout = await rollouts.start(principal, body.name, body.devices.map(identityKey), plan);
        return { status: 201, body: rolloutJson(rollout) };
      },
    }),
    route<unknown, z.output<typeof listQuery>>({
      method: 'GET',
      url,
      summary: 'Rollouts, newest first',
      tag,
      body: undefined,
      query: listQuery,
      answers: { 200: rolloutsSchema },
      handle: async ({ principal, query }) => {
        const limit = bounded(query.limit);
        const page = query.after === undefined ? { limit } : { limit, after: query.after };
        const found = (await rollouts.list(principal, page)).map(rolloutJson);
        const next = found.length < limit ? {} : { next: found.at(-1)?.id };
        return { status: 200, body: { rollouts: found, ...next } };
      },
    }),
    route({
      method: 'GET',
      url: `${url}/:rolloutId`,
      summary: 'How far a rollout has come',
      tag,
      answers: { 200: rolloutSchema },
      handle: async ({ principal, params }) => ({
        status: 200,
        body: rolloutJson(await rollouts.get(principal, params.rolloutId ?? '')),
      }),
    }),
    route<unknown, z.output<typeof targetQuery>>({
      method: 'GET',
      url: `${url}/:rolloutId/devices`,
      summary: 'What became of each device of a rollout',
      tag,
      body: undefined,
      query: targetQuery,
      answers: { 200: rolloutTargetsSchema },
      handle: async ({ principal, params, query }) => {
        const limit = bounded(query.limit);
        const { state, after } = query;
        const of = { limit, ...(state !== undefined && { state }), ...(after !== undefined && { after }) };
        const found = await rollouts.targets(principal, params.rolloutId ?? '', of);
        const devices = found.map(({ key, state, grantId, time, reason }) => ({
          ...key,
          state,
          ...(grantId !== '' && { grantId }),
          ...(time !== 0 && { timeUtc: new Date(time).toISOString() }),
          reason,
        }));
        return { status: 200, body: { devices, ...(found.length < limit ? {} : { next: found.at(-1)?.position }) } };
      },
    }),
    route({
      method: 'POST',
      url: `${url}/:rolloutId/stop`,
      summary: 'No further wave begins',
      tag,
      answers: { 200: rolloutSchema },
      handle: async ({ principal, params }) => ({
        status: 200,
        body: rolloutJson(await rollouts.stop(principal, params.rolloutId ?? '')),
      }),
    }),
  ];
}

function bounded(limit: number = limits.fileListPageMax): number {
  return Math.min(limit, limits.fileListPageMax);
}

function rolloutJson({ plan, counts, ...rollout }: Rollout): RolloutJson {
  const { id, name, createdTime, createdBy, state, reason, wave } = rollout;
  return {
    ...{ id, name, createdTimeUtc: new Date(createdTime).toISOString(), createdBy },
    waveSize: plan.waveSize,
    pauseSeconds: plan.pauseMs / 1000,
    fetchSeconds: plan.fetchMs / 1000,
    failedShareMax: plan.failedShareMax,
    ...{ state, reason, wave, ...counts },
  };
}
