export const KiB = 1024;
export const MiB = 1024 * KiB;
export const SECOND_MS = 1000;
export const HOUR_MS = 3600 * SECOND_MS;
export const DAY_MS = 24 * HOUR_MS;
