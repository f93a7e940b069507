/** Routes -> their part of the OpenAPI document, from the same zod shapes that check requests. */
import type { SwaggerOptions } from '@fastify/swagger';
import type { FastifySchema } from 'fastify';
import { z } from 'zod';
import { errorBodySchema } from '../../api/hub.ts';
import type { ApiRoute } from './route.ts';

const description =
  'Identities of devices and modules as the Azure IoT service SDKs use them, commands to them and the receipts, the ' +
  'doors of devices themselves, and what this hub adds under /mooring/v1. Send a shared access signature of a policy ' +
  '(or of the device, for its own messages) as the whole Authorization header.';

export const openApiOptions = {
  openapi: {
    openapi: '3.0.3',
    info: { title: 'Mooring API', version: '1', description },
    components: { securitySchemes: { sas: { type: 'apiKey', in: 'header', name: 'Authorization' } } },
    security: [{ sas: [] }],
  },
  transform: ({ schema, url }: { schema: FastifySchema; url: string }) => ({ schema: toJsonSchemas(schema), url }),
} satisfies SwaggerOptions;

const bytes = { type: 'string', format: 'binary' };
const version = z.object({ 'api-version': z.string() });

/** Shapes of a route, still as zod's, which `transform` above turns into JSON Schema. */
export function routeSchema(definition: ApiRoute, isVersioned: boolean): FastifySchema {
  const { url, summary, tag, bodyShape, query, answers } = definition;
  const body = bodyShape ?? definition.body;
  const querystring = isVersioned ? (query === undefined ? version : version.and(query)) : query;
  const response = Object.entries(answers).map(([status, shape]) => [
    status,
    shape === 'bytes' ? bytes : (shape ?? z.null()),
  ]);
  const takesBytes = body === 'bytes' || body === 'stream';
  const schema = {
    summary,
    tags: [tag],
    ...(body === undefined ? {} : { body: takesBytes ? bytes : body }),
    ...(takesBytes ? { consumes: ['application/octet-stream'] } : {}),
    ...(querystring === undefined ? {} : { querystring }),
    ...(/[:*]/.test(url) ? { params: pathSchema(url) } : {}),
    response: { ...Object.fromEntries(response), '4xx': errorBodySchema },
  };
  return schema as FastifySchema;
}

function pathSchema(url: string): z.ZodType {
  const names = [...url.matchAll(/:(\w+)|\*/g)].map((match) => match[1] ?? '*');
  return z.object(Object.fromEntries(names.map((name) => [name, z.string()])));
}

/** zod -> JSON Schema for the OpenAPI document: what requests may hold, what answers do hold. */
function toJsonSchemas(schema: FastifySchema): FastifySchema {
  const convert = (value: unknown, io: 'input' | 'output'): unknown => {
    if (!(value instanceof z.ZodType)) return value;
    const { $schema: _, ...json } = z.toJSONSchema(value, { io, target: 'openapi-3.0' });
    return json;
  };
  const given = schema as FastifySchema & Record<string, unknown>;
  const out: Record<string, unknown> = { ...given };
  for (const part of ['body', 'querystring', 'params'] as const) {
    if (given[part] !== undefined) out[part] = convert(given[part], 'input');
  }
  if (given.response !== undefined) {
    const answers = Object.entries(given.response as Record<string, unknown>);
    out.response = Object.fromEntries(answers.map(([status, value]) => [status, convert(value, 'output')]));
  }
  return out;
}
