/** Loaded into a hub before everything else: takes bounds away, to show that what they keep out is noticed. */
import { limits } from '../../src/base/limits.ts';

Object.assign(limits, JSON.parse(process.env.CANARY_LIMITS ?? '{}'));
