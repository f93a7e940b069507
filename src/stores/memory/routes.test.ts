import { routesContract } from '../contract/routes.ts';
import { createMemoryRoutes } from './routes.ts';

routesContract('memory', async () => ({ ...createMemoryRoutes(), close: async () => {} }));
