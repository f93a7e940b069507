/** For `node --import`: lets tests of adapters find `mooring/gateway` wherever they lie (`mooring gateway test`). */
import { resolveGateway } from './load.ts';

resolveGateway();
