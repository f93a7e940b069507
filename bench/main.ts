/** `npm run bench -- NAME [options]`: see bench/README.md. */
import path from 'node:path';
import { adapterLine } from './adapter-line.ts';
import { clusterConnects } from './cluster-connects.ts';
import { clusterIn } from './cluster-in.ts';
import { clusterJobs } from './cluster-jobs.ts';
import { clusterOut } from './cluster-out.ts';
import { commandRoundtrip } from './command-roundtrip.ts';
import { configurations } from './configurations.ts';
import { connectChurn } from './connect-churn.ts';
import { doorsUnderAttack } from './doors-under-attack.ts';
import { type FilePart, fileParts, fileTransfer } from './file-transfer.ts';
import { fleetPostgres } from './fleet-postgres.ts';
import { fleetQuery } from './fleet-query.ts';
import { fleetRest } from './fleet-rest.ts';
import { gatewayRemote } from './gateway-remote.ts';
import { jobTwins } from './job-twins.ts';
import { liveQuery } from './live-query.ts';
import { messagePath } from './message-path.ts';
import { methods } from './methods.ts';
import { monitoringCost } from './monitoring-cost.ts';
import { readOptions, USAGE, UsageError } from './options.ts';
import { portalStreams } from './portal-streams.ts';
import { registryJobs } from './registry-jobs.ts';
import { hub, hubAt } from './servers/hub.ts';
import { hubWithFiles } from './servers/hub-files.ts';
import { bridge, hubWithMethods } from './servers/method-servers.ts';
import { nginx } from './servers/nginx.ts';
import { checkoutOf, hubOfRevision } from './servers/revision.ts';
import { startTime } from './start-time.ts';
import { hubWithReaders, peers, type Shape, telemetryIn } from './telemetry-in.ts';
import { telemetryOut } from './telemetry-out.ts';
import { twinsDesired } from './twins-desired.ts';
import { twinsReported } from './twins-reported.ts';
import { underAttack } from './under-attack.ts';

/** Messages per second due where none other is asked for: far below what the hub takes, so that waiting shows. */
const ATTACKED_RATE = 5000;
const BESIDE_FILES_RATE = 5000;
const BESIDE_QUERIES_RATE = 5000;
/** Reports per second of all devices. */
const LIVE_RATE = 1000;
const PORTAL_RATE = 5000;
const root = path.dirname(import.meta.dirname);
if (process.argv[2] === 'idle-connections') {
  process.argv.splice(2, 1);
  // It has options of its own, and ends the process.
  await import('./idle-connections.ts');
}

const { values, positionals } = options();

try {
  if (values.help) process.stdout.write(USAGE);
  else await run(positionals[0]);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

function options() {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(2);
  }
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
    const settings = values.settings?.split(' ') ?? [];
    await telemetryIn({
      ...common,
      shapes: values.shape.split(',').map(shapeOf),
      peers: [
        ...values.peer.flatMap((names) => names.split(',')).map(peerOf),
        ...(values['readers-while-writing'] === undefined ? [] : [hubWithReaders(count('readers-while-writing'))]),
        ...values.compare.map((revision) => hubOfRevision(revision, settings)),
        ...values.variant.map((settings) => hubAt(`mooring ${settings}`, root, settings.split(' '))),
      ],
      hub: values['peers-only'] ? undefined : hubAt(hub.name, root, settings),
      fullPageCache: values['full-page-cache'],
      atOnce: values['at-once'],
      ...timing(),
      ratePerSecond: values.rate === undefined ? undefined : count('rate'),
      bag: values.bag,
    });
  } else if (bench === 'cluster-in') {
    const ratePerSecond = values.rate === undefined ? undefined : count('rate');
    await clusterIn({ ...common, ...timing(), shapes: [shapeOf(values.shape)], ratePerSecond, bag: values.bag });
  } else if (bench === 'cluster-connects') {
    const [devices, underWay] = [Number(values.devices ?? 20_000), Number(values['under-way'] ?? 5000)];
    await clusterConnects({ ...common, ...timing(), devices, underWay });
  } else if (bench === 'cluster-jobs') {
    await clusterJobs({ ...common, devices: Number(values.devices ?? 5000) });
  } else if (bench === 'cluster-out') {
    const [events, payloadBytes] = [count('events'), count('payload')];
    await clusterOut({ ...common, events, payloadBytes, readers: count('readers') });
  } else if (bench === 'telemetry-out') {
    if (values.client !== 'counting' && values.client !== 'rhea')
      throw new UsageError(`--client ${values.client}: counting or rhea is wanted`);
    await telemetryOut({
      ...common,
      events: count('events'),
      payloadBytes: count('payload'),
      readers: count('readers'),
      client: values.client,
      rheaPeer: values.peer.includes('rhea'),
      compared: values.compare.map(checkoutOf),
    });
  } else if (bench === 'start-time') {
    const checkouts = [{ name: hub.name, folder: root }, ...values.compare.map(checkoutOf)];
    await startTime({ ...common, checkouts });
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
  } else if (bench === 'fleet-query') {
    await fleetQuery({ ...common, devices: Number(values.devices ?? 100_000) });
  } else if (bench === 'fleet-rest') {
    const ratePerSecond = values.rate === undefined ? BESIDE_QUERIES_RATE : count('rate');
    await fleetRest({ ...common, ...timing(), devices: Number(values.devices ?? 100_000), ratePerSecond });
  } else if (bench === 'fleet-postgres') {
    await fleetPostgres({ ...common, ...timing(), devices: Number(values.devices ?? 1_000_000) });
  } else if (bench === 'portal-streams') {
    const ratePerSecond = values.rate === undefined ? PORTAL_RATE : count('rate');
    await portalStreams({ ...common, ...timing(), ratePerSecond, payloadBytes: count('payload') });
  } else if (bench === 'live-query') {
    const ratePerSecond = values.rate === undefined ? LIVE_RATE : count('rate');
    const [devices, followers] = [Number(values.devices ?? 200), Number(values.followers)];
    await liveQuery({ ...common, ...timing(), devices, followers, ratePerSecond });
  } else if (bench === 'job-twins') {
    await jobTwins({ ...common, devices: Number(values.devices ?? 10_000) });
  } else if (bench === 'registry-jobs') {
    await registryJobs({ ...common, devices: Number(values.devices ?? 100_000) });
  } else if (bench === 'gateway-remote') {
    await gatewayRemote({ ...common, ...timing(), shape: shapeOf(values.shape.split(',')[0]) });
  } else if (bench === 'configurations') {
    await configurations({ ...common, devices: Number(values.devices ?? 5000) });
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
  } else if (bench === 'adapter-line') {
    await adapterLine({ ...common, ...timing(), ...shapeOf(values.shape) });
  } else throw new UsageError(bench === undefined ? 'Name a bench.' : `There is no bench ${bench}.`);
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
  if (!(value > 0)) throw new UsageError(`--${name} wants a number over 0`);
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
