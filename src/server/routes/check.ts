import type { Settings } from '../config/config.ts';
import { readRoutesFile } from './routes-file.ts';

/** What is wrong with the file of routes, for `mooring config check`. */
export async function checkRoutes({ routesFile }: Settings): Promise<readonly string[]> {
  try {
    if (routesFile !== undefined) readRoutesFile(routesFile);
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}
