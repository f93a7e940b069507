/** What `npm run bench` takes; bench/README.md says what it is for. */
import os from 'node:os';
import path from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { fileParts } from './file-transfer.ts';

export const USAGE = `npm run bench -- telemetry-in  [--shape 50x20x256[,1000x1x256]] [--tls] [--rate N] [--bag a=1&b=2]
                             [--readers-while-writing GROUPS] [--full-page-cache] [--at-once] [--settings="--threads 2"] [common]
npm run bench -- telemetry-out [--events N] [--payload BYTES] [--readers N] [--client counting|rhea] [--peer rhea] [--tls] [common]
npm run bench -- command-roundtrip [--devices 1,100,1000] [--in-flight N] [--payload BYTES] [--seconds N] [--directory DIR]
npm run bench -- message-path [--compare REVISION]
npm run bench -- start-time   [--compare REVISION] [common]
npm run bench -- idle-connections                    # see bench/README.md for its own options
npm run bench -- under-attack [--shape 50x20x256] [--tls] [--rate N] [--attack-rate N] [--attack-in-flight N] [common]
npm run bench -- under-attack --doors [--only TEXT] [--hub-threads 1,2] [--seconds N] [--warmup N] [--json FILE]
npm run bench -- monitoring-cost [--shape 50x20x256] [--connecting N] [--tls] [--rate N] [--full-page-cache] [common]
npm run bench -- connect-churn [--connecting N] [--tls] [--variant="--setting value"] [common]
npm run bench -- file-transfer [--part transfer,memory,telemetry] [--file-mib N] [--uploads N] [--upload-mib N] [--rate N] [common]
npm run bench -- twins-reported [--devices 200] [--twin-kib 0.5,16] [--clients 16,64|none] [--without-events] [common]
npm run bench -- twins-desired  [--devices 1000] [--under-way 16] [common]
npm run bench -- methods        [--devices 100] [--under-way 1,64] [common]
npm run bench -- job-twins      [--devices 10000] [--rounds N] [--directory DIR] [--json FILE]
npm run bench -- registry-jobs  [--devices 100000] [--rounds N] [--directory DIR] [--json FILE]
npm run bench -- gateway-remote [--shape 50x20x256] [common]
npm run bench -- configurations [--devices 5000] [--rounds N] [--directory DIR] [--json FILE]
npm run bench -- fleet-query    [--devices 100000] [--rounds N] [--directory DIR] [--json FILE]
npm run bench -- fleet-rest     [--devices 100000] [--rate 5000] [--seconds N] [--warmup N] [--directory DIR] [--json FILE]
npm run bench -- portal-streams [--rate 5000] [--payload 256] [--rounds N] [--seconds N] [--warmup N] [--json FILE]
npm run bench -- live-query     [--devices 200] [--followers 100] [--rate 1000] [--seconds N] [--warmup N] [--json FILE]
scripts/postgres-for-tests.sh npm run bench -- fleet-postgres [--devices 1000000] [--seconds N] [--json FILE]
scripts/postgres-for-tests.sh node scripts/kafka-for-tests.ts npm run bench -- cluster-in [--shape 50x20x256] [--rate N] [common]
the same two scripts npm run bench -- cluster-out [--events N] [--payload BYTES] [--readers N] [--rounds N] [--directory DIR] [--json FILE]
the same two scripts npm run bench -- cluster-jobs [--devices 5000] [--rounds N] [--directory DIR] [--json FILE]
scripts/postgres-for-tests.sh npm run bench -- cluster-connects [--devices 20000] [--under-way 5000] [--rounds N] [--seconds N] [--warmup N] [--json FILE]
npm run bench -- adapter-line   [--shape 50x20x256] [common]
common: [--peer mosquitto,rabbitmq,bare,bare-paced,mqtt-topics,mqtt-topics-in-hub] [--peers-only] [--compare REVISION] [--variant="--setting value"]
        [--rounds N] [--seconds N] [--warmup N] [--threads N] [--directory DIR] [--json FILE]
`;

const options = {
  shape: { type: 'string', default: '50x20x256' },
  peer: { type: 'string', multiple: true, default: [] },
  compare: { type: 'string', multiple: true, default: [] },
  variant: { type: 'string', multiple: true, default: [] },
  'full-page-cache': { type: 'boolean', default: false },
  'at-once': { type: 'boolean', default: false },
  settings: { type: 'string' },
  'peers-only': { type: 'boolean', default: false },
  tls: { type: 'boolean', default: false },
  devices: { type: 'string' },
  followers: { type: 'string', default: '100' },
  'twin-kib': { type: 'string', default: '0.5,16' },
  clients: { type: 'string', default: '16,64' },
  'under-way': { type: 'string' },
  'without-events': { type: 'boolean', default: false },
  'in-flight': { type: 'string', default: '4' },
  rate: { type: 'string' },
  'attack-rate': { type: 'string', default: '1000' },
  'attack-in-flight': { type: 'string', default: '32' },
  doors: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  'hub-threads': { type: 'string', default: '1,2' },
  connecting: { type: 'string', default: '64' },
  bag: { type: 'string', default: '' },
  rounds: { type: 'string', default: '3' },
  seconds: { type: 'string', default: '5' },
  warmup: { type: 'string', default: '3' },
  threads: { type: 'string', default: String(Math.max(1, os.cpus().length >> 1)) },
  events: { type: 'string', default: '200000' },
  payload: { type: 'string', default: '256' },
  readers: { type: 'string', default: '1' },
  'readers-while-writing': { type: 'string' },
  client: { type: 'string', default: 'counting' },
  part: { type: 'string', default: fileParts.join(',') },
  'file-mib': { type: 'string', default: '1024' },
  uploads: { type: 'string', default: '50' },
  'upload-mib': { type: 'string', default: '100' },
  directory: { type: 'string', default: path.join(os.tmpdir(), 'mooring-bench') },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} satisfies NonNullable<ParseArgsConfig['options']>;

/** Words that cannot be used; the message says which, and what there is. */
export class UsageError extends Error {
  constructor(what: string) {
    super(`${what}\n\n${USAGE}`);
  }
}

/** @throws UsageError */
export function readOptions(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
