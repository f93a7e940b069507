/** Objects whose names devices and back ends choose. */
import { z } from 'zod';

/**
 * An object with any names, taken as it came: objects of the schema library are built anew, and leave out a member that is
 * called `__proto__`.
 */
export const foreignObject = z
  .unknown()
  .refine((value) => typeof value === 'object' && value !== null && !Array.isArray(value), 'an object is expected')
  .meta({ type: 'object', additionalProperties: true }) as unknown as z.ZodType<Record<string, unknown>>;
