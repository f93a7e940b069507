/** What the admin port says of the hub's health: `GET /readyz` with `Accept: application/json`. */
import { z } from 'zod';

export const healthStatuses = ['ok', 'warn', 'fail'] as const;
export type HealthStatus = (typeof healthStatuses)[number];

const check = z.object({
  /** What was looked at; the names stand in `docs/monitoring.md`. */
  name: z.string(),
  /** `fail`: the hub does not do what it is for, and is not ready; `warn`: a person should look before it does. */
  status: z.enum(healthStatuses),
  /** What is wrong, and what to do. Absent = nothing is. */
  reason: z.string().optional(),
  remedy: z.string().optional(),
});
export type HealthCheckJson = Readonly<z.output<typeof check>>;

export const healthSchema = z.object({
  /** No check fails. */
  ready: z.boolean(),
  /** That of the worst check. */
  status: z.enum(healthStatuses),
  /** Empty for who may not see them. */
  checks: z.array(check),
});
export type HealthReport = Readonly<z.output<typeof healthSchema>>;
