/** `mooring/gateway`: what an adapter is written against. */
export { z } from 'zod';
export { readLines } from './lines.ts';
export { Refused, type RefusedCode } from './refused.ts';
export type { SchemaIssue, SchemaResult, StandardSchema } from './schema.ts';
export type * from './sockets.ts';
export type * from './types.ts';
