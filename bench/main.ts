/** `npm run bench -- NAME [options]`: see bench/README.md. */
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { commandRoundtrip } from './command-roundtrip.ts';
import { connectChurn } from './connect-churn.ts';
import { doorsUnderAttack } from './doors-under-attack.ts';
import { type FilePart, fileParts, fileTransfer } from './file-transfer.ts';
import { messagePath } from './message-path.ts';
import { methods } from './methods.ts';
import { monitoringCost } from './monitoring-cost.ts';
import { hubAt } from './servers/hub.ts';
import { hubWithFiles } from './servers/hub-files.ts';
import { bridge, hubWithMethods } from './servers/method-servers.ts';
import { nginx } from './servers/nginx.ts';
import { checkoutOf, hubOfRevision } from './servers/revision.ts';
import { hubWithReaders, peers, type Shape, telemetryIn } from './telemetry-in.ts';
import { telemetryOut } from './telemetry-out.ts';
import { twinsDesired } from './twins-desired.ts';
import { twinsReported } from './twins-reported.ts';
import { underAttack } from './under-attack.ts';

/** Messages per second due where none other is asked for: far below what the hub takes, so that waiting shows. */
const ATTACKED_RATE = 5000;
const BESIDE_FILES_RATE = 5000;
const root = path.dirname(import.meta.dirname);
const USAGE = `npm run bench -- telemetry-in  [--shape 50x20x256[,1000x1x256]] [--tls] [--rate N] [--bag a=1&b=2]
                             [--readers-while-writing GROUPS] [--full-page-cache] [common]
npm run bench -- telemetry-out [--events N] [--payload BYTES] [--readers N] [--client counting|rhea] [--peer rhea] [--tls] [common]
npm run bench -- command-roundtrip [--devices 1,100,1000] [--in-flight N] [--payload BYTES] [--seconds N] [--directory DIR]
npm run bench -- message-path [--compare REVISION]
npm run bench -- under-attack [--shape 50x20x256] [--tls] [--rate N] [--attack-rate N] [--attack-in-flight N] [common]
npm run bench -- under-attack --doors [--only TEXT] [--hub-threads 1,2] [--seconds N] [--warmup N] [--json FILE]
npm run bench -- monitoring-cost [--shape 50x20x256] [--connecting N] [--tls] [--rate N] [--full-page-cache] [common]
npm run bench -- connect-churn [--connecting N] [--tls] [--variant="--setting value"] [common]
npm run bench -- file-transfer [--part transfer,memory,telemetry] [--file-mib N] [--uploads N] [--upload-mib N] [--rate N] [common]
npm run bench -- twins-reported [--devices 200] [--twin-kib 0.5,16] [--clients 16,64|none] [--without-events] [common]
npm run bench -- twins-desired  [--devices 1000] [--under-way 16] [common]
npm run bench -- methods        [--devices 100] [--under-way 1,64] [common]
common: [--peer mosquitto,rabbitmq,bare,bare-paced] [--peers-only] [--compare REVISION] [--variant="--setting value"]
        [--rounds N] [--seconds N] [--warmup N] [--threads N] [--directory DIR] [--json FILE]
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: 'string', default: '50x20x256' },
    peer: { type: 'string', multiple: true, default: [] },
    compare: { type: 'string', multiple: true, default: [] },
    variant: { type: 'string', multiple: true, default: [] },
    'full-page-cache': { type: 'boolean', default: false },
    'peers-only': { type: 'boolean', default: false },
    tls: { type: 'boolean', default: false },
    devices: { type: 'string' },
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
  },
});

try {
  await run(positionals[0]);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function run(bench: string | undefined): Promise<void> {
  const common = {
    rounds: count('rounds'),
    threads: count('threads'),
    tls: values.tls,
    directory: path.resolve(values.directory),
    jsonFile: values.json,
  };
  if (bench === 'telemetry-in') {
    await telemetryIn({
      ...common,
      shapes: values.shape.split(',').map(shapeOf),
      peers: [
        ...values.peer.flatMap((names) => names.split(',')).map(peerOf),
        ...(values['readers-while-writing'] === undefined ? [] : [hubWithReaders(count('readers-while-writing'))]),
        ...values.compare.map(hubOfRevision),
        ...values.variant.map((settings) => hubAt(`mooring ${settings}`, root, settings.split(' '))),
      ],
      hub: !values['peers-only'],
      fullPageCache: values['full-page-cache'],
      ...timing(),
      ratePerSecond: values.rate === undefined ? undefined : count('rate'),
      bag: values.bag,
    });
  } else if (bench === 'telemetry-out') {
    if (values.client !== 'counting' && values.client !== 'rhea')
      throw new Error(`--client ${values.client}\n${USAGE}`);
    await telemetryOut({
      ...common,
      events: count('events'),
      payloadBytes: count('payload'),
      readers: count('readers'),
      client: values.client,
      rheaPeer: values.peer.includes('rhea'),
    });
  } else if (bench === 'message-path') {
    await messagePath(values.compare.map(checkoutOf));
  } else if (bench === 'command-roundtrip') {
    await commandRoundtrip({
      devices: (values.devices ?? '1,10,100,1000').split(',').map(Number),
      inFlight: count('in-flight'),
      payloadBytes: count('payload'),
      seconds: count('seconds'),
      directory: common.directory,
      jsonFile: common.jsonFile,
    });
  } else if (bench === 'under-attack' && values.doors) {
    const threads = values['hub-threads'].split(',').map(Number);
    await doorsUnderAttack({ ...timing(), threads, only: values.only, jsonFile: common.jsonFile });
  } else if (bench === 'under-attack') {
    await underAttack({
      ...common,
      ...timing(),
      shape: shapeOf(values.shape),
      ratePerSecond: values.rate === undefined ? ATTACKED_RATE : count('rate'),
      attackPerSecond: count('attack-rate'),
      attackInFlight: count('attack-in-flight'),
    });
  } else if (bench === 'monitoring-cost') {
    await monitoringCost(
      {
        ...common,
        ...timing(),
        shapes: values.shape.split(',').map(shapeOf),
        ratePerSecond: values.rate === undefined ? undefined : count('rate'),
        fullPageCache: values['full-page-cache'],
        bag: values.bag,
        inFlight: count('connecting'),
      },
      root,
    );
  } else if (bench === 'connect-churn') {
    await connectChurn({
      ...common,
      ...timing(),
      kinds: ['connect and leave', 'wrong key'],
      variants: values.variant,
      inFlight: count('connecting'),
    });
  } else if (bench === 'file-transfer') {
    await fileTransfer({
      ...common,
      ...timing(),
      systems: [
        hubWithFiles('mooring', root),
        ...values.peer.flatMap((names) => names.split(',')).map(filePeerOf),
        ...values.compare.map(checkoutOf).map(({ name, folder }) => hubWithFiles(name, folder)),
        ...values.variant.map((settings) => hubWithFiles(`mooring ${settings}`, root, settings.split(' '))),
      ],
      parts: values.part.split(',').map(partOf),
      checkout: root,
      fileMiB: count('file-mib'),
      uploads: count('uploads'),
      uploadMiB: count('upload-mib'),
      ratePerSecond: values.rate === undefined ? BESIDE_FILES_RATE : count('rate'),
    });
  } else if (bench === 'twins-reported') {
    await twinsReported({
      ...common,
      ...timing(),
      devices: Number(values.devices ?? 200),
      twinKiB: values['twin-kib'].split(',').map(Number),
      clients: values.clients === 'none' ? [] : values.clients.split(',').map(Number),
      withEvents: !values['without-events'],
    });
  } else if (bench === 'twins-desired') {
    const [devices, underWay] = [Number(values.devices ?? 1000), Number(values['under-way'] ?? 16)];
    await twinsDesired({ ...common, ...timing(), devices, underWay });
  } else if (bench === 'methods') {
    await methods({
      ...common,
      ...timing(),
      systems: [
        hubWithMethods('mooring', root),
        bridge,
        ...values.compare.map(checkoutOf).map(({ name, folder }) => hubWithMethods(name, folder)),
        ...values.variant.map((settings) => hubWithMethods(`mooring ${settings}`, root, settings.split(' '))),
      ],
      devices: Number(values.devices ?? 100),
      underWay: (values['under-way'] ?? '1,64').split(',').map(Number),
    });
  } else throw new Error(USAGE);
}

function filePeerOf(name: string) {
  if (name !== 'nginx') throw new Error(`--peer ${name}: nginx is wanted`);
  return nginx;
}

function partOf(name: string): FilePart {
  const part = fileParts.find((each) => each === name);
  if (part === undefined) throw new Error(`--part ${name}: of ${fileParts.join(', ')}`);
  return part;
}

function timing() {
  return { seconds: count('seconds'), warmupSeconds: count('warmup') };
}

function count(
  name:
    | 'rounds'
    | 'seconds'
    | 'warmup'
    | 'threads'
    | 'rate'
    | 'attack-rate'
    | 'attack-in-flight'
    | 'connecting'
    | 'events'
    | 'in-flight'
    | 'payload'
    | 'readers'
    | 'file-mib'
    | 'uploads'
    | 'upload-mib'
    | 'readers-while-writing',
): number {
  const value = Number(values[name]);
  if (!(value > 0)) throw new Error(`--${name} wants a number over 0\n${USAGE}`);
  return value;
}

function shapeOf(text: string): Shape {
  const [connections, inFlight, payloadBytes] = text.split('x').map(Number);
  const whole = [connections, inFlight, payloadBytes].every((value) => Number.isInteger(value) && value > 0);
  if (!whole || inFlight > 65_535) throw new Error(`--shape ${text}: CONNECTIONSxINFLIGHTxBYTES is wanted`);
  return { connections, inFlight, payloadBytes };
}

function peerOf(name: string) {
  const peer = peers[name];
  if (peer === undefined) throw new Error(`--peer ${name}: one of ${Object.keys(peers).join(', ')} is wanted`);
  return peer;
}
