import { seededRandom } from '../../src/base/random.ts';

/** What one simulation consists of. Everything else follows from its seed. */
export interface Plan {
  readonly seed: number;
  readonly devices: number;
  /** Back ends that write the registry, each. */
  readonly registrars: number;
  /** Back ends that send commands, each. */
  readonly senders: number;
  readonly readers: number;
  /** Milliseconds of the simulation's time in which faults happen and all are at work; then all is to come to rest. */
  readonly activeMs: number;
  readonly partitions: number;
  readonly segmentBytes: number;
  /** Mean milliseconds between two, 0 = none. */
  readonly crashEveryMs: number;
  readonly stopEveryMs: number;
  readonly clockJumpEveryMs: number;
  readonly diskFullEveryMs: number;
  readonly breakEveryMs: number;
  /** Of the calls of the journal's disk, and of the commits of the tables. */
  readonly diskFaultRate: number;
  readonly tableFaultRate: number;
  /** Of the connections that break, those whose peer vanishes without a word. */
  readonly vanishRate: number;
  /** Of the commands that a device gets, those that it never acknowledges. */
  readonly deafRate: number;
  /** Whether identities are disabled, deleted and re-created. */
  readonly identitiesChange: boolean;
  readonly purges: boolean;
  readonly stalls: boolean;
  /** Of the back ends, and of the devices that fetch, those that come by HTTP; the others act at the hub's waist. */
  readonly httpShare: number;
  /** Beside `devices`, which speak MQTT. */
  readonly amqpDevices: number;
  /** Connections that the AMQP devices share. */
  readonly gateways: number;
  /** Whether gateways come for devices that have an MQTT connection, too. */
  readonly visits: boolean;
  /** Whether tokens end while all are at work. */
  readonly tokensEnd: boolean;
  /** Readers of events by AMQP. */
  readonly amqpReaders: number;
  /** Back ends that send commands and receive receipts by AMQP. */
  readonly amqpBackEnds: number;
  /** Listener threads that accept the MQTT and AMQP connections; 0 = the hub's own loop does. */
  readonly members: number;
  readonly memberDeathEveryMs: number;
  /** Of the links between the hub's own loop and its members. */
  readonly linkBreakEveryMs: number;
  /** Back ends that change twins and invoke methods; 0 = devices have nothing to do with either. */
  readonly twinBackEnds: number;
  /** What routes lead to beside the built-in event hub; 0 = there are no routes. */
  readonly endpoints: number;
  /** Of the requests that endpoints get: those that fail, hang, are forgotten, done in part or late. */
  readonly endpointFaultRate: number;
  /** How often routes change, where there are any and the wall clock does not jump; 0 = they stay as they are. */
  readonly routeChangeEveryMs: number;
  /** Events in Kafka and tables in PostgreSQL, as the simulation has them: what the disk of the hub does means nothing then. */
  readonly cluster: boolean;
  /** A broker dies or hangs. */
  readonly brokerFaultEveryMs: number;
  /** Of the requests, and of the answers, of brokers: those that come late, are lost or say that they are not sure. */
  readonly brokerFaultRate: number;
  /** Of the calls of the database: those whose answer is lost. Half of them have happened. */
  readonly answerLossRate: number;
}

/** Each seed has faults of its own: one in which everything happens at once hides what happens otherwise. */
export function planOf(seed: number): Plan {
  const random = seededRandom(seed ^ 0x5eed);
  const some = (share: number, value: () => number): number => (random.next() < share ? value() : 0);
  const between = (low: number, high: number): number => Math.floor(low + random.next() * (high - low + 1));
  return {
    seed,
    devices: between(1, 5),
    registrars: between(1, 3),
    senders: between(1, 2),
    readers: between(0, 2),
    activeMs: between(20, 120) * 1000,
    partitions: between(1, 4),
    segmentBytes: between(4, 128) * 1024,
    crashEveryMs: some(0.6, () => between(5, 40) * 1000),
    stopEveryMs: some(0.2, () => between(15, 60) * 1000),
    clockJumpEveryMs: some(0.3, () => between(5, 40) * 1000),
    diskFullEveryMs: some(0.25, () => between(15, 60) * 1000),
    breakEveryMs: some(0.7, () => between(2, 30) * 1000),
    diskFaultRate: some(0.3, () => random.next() * 0.03),
    tableFaultRate: some(0.3, () => random.next() * 0.08),
    vanishRate: some(0.5, () => random.next()),
    deafRate: some(0.5, () => random.next() * 0.5),
    identitiesChange: random.next() < 0.6,
    purges: random.next() < 0.4,
    stalls: random.next() < 0.4,
    httpShare: some(0.6, () => 0.3 + 0.7 * random.next()),
    amqpDevices: some(0.7, () => between(1, 3)),
    gateways: between(1, 2),
    visits: random.next() < 0.5,
    tokensEnd: random.next() < 0.4,
    amqpReaders: some(0.6, () => between(1, 2)),
    amqpBackEnds: some(0.5, () => 1),
    members: some(0.5, () => between(2, 3)),
    memberDeathEveryMs: some(0.5, () => between(4, 30) * 1000),
    twinBackEnds: some(0.6, () => between(1, 2)),
    linkBreakEveryMs: some(0.5, () => between(4, 30) * 1000),
    endpoints: some(0.5, () => between(1, 2)),
    endpointFaultRate: some(0.8, () => 0.6 * random.next()),
    routeChangeEveryMs: some(0.6, () => between(2, 20) * 1000),
    ...{ cluster: false, brokerFaultEveryMs: 0, brokerFaultRate: 0, answerLossRate: 0 },
  };
}

/** The same of a hub on Kafka and PostgreSQL. Its journal takes nothing from listener threads, so that it has none. */
export function clusterPlanOf(seed: number): Plan {
  const random = seededRandom(seed ^ 0xc1a5);
  const some = (share: number, value: () => number): number => (random.next() < share ? value() : 0);
  return {
    ...planOf(seed),
    ...{ members: 0, memberDeathEveryMs: 0, linkBreakEveryMs: 0 },
    ...{ diskFaultRate: 0, tableFaultRate: 0, diskFullEveryMs: 0 },
    cluster: true,
    brokerFaultEveryMs: some(0.6, () => (5 + 25 * random.next()) * 1000),
    brokerFaultRate: some(0.7, () => 0.05 * random.next()),
    answerLossRate: some(0.6, () => 0.03 * random.next()),
  };
}

/** Plans that are a little less than this one, the boldest first. */
export function reductions(plan: Plan): readonly Plan[] {
  const counts = ['devices', 'registrars', 'senders', 'partitions', 'amqpDevices', 'gateways'] as const;
  const less: Partial<Plan>[] = [];
  const halve = (name: (typeof counts)[number] | 'activeMs', least: number): void => {
    if (plan[name] > least) {
      less.push({ [name]: least }, { [name]: Math.max(least, Math.floor(plan[name] / 2)) });
      less.push({ [name]: Math.max(least, Math.floor(plan[name] * 0.9) - (name === 'activeMs' ? 0 : 1)) });
    }
  };
  halve('activeMs', 1000);
  halve('devices', 1);
  halve('registrars', 1);
  halve('senders', 0);
  halve('partitions', 1);
  halve('amqpDevices', 0);
  halve('gateways', 1);
  for (const name of ['readers', 'amqpReaders', 'amqpBackEnds', 'members', 'twinBackEnds', 'endpoints'] as const)
    if (plan[name] > 0) less.push({ [name]: 0 });
  const rates = [
    'crashEveryMs',
    'stopEveryMs',
    'clockJumpEveryMs',
    'diskFullEveryMs',
    'breakEveryMs',
    'diskFaultRate',
    'tableFaultRate',
    'vanishRate',
    'deafRate',
    'httpShare',
    'memberDeathEveryMs',
    'linkBreakEveryMs',
    'routeChangeEveryMs',
    'brokerFaultEveryMs',
    'brokerFaultRate',
    'answerLossRate',
    'endpointFaultRate',
  ] as const;
  for (const name of rates) if (plan[name] > 0) less.push({ [name]: 0 });
  for (const name of ['identitiesChange', 'purges', 'stalls', 'visits', 'tokensEnd'] as const) {
    if (plan[name]) less.push({ [name]: false });
  }
  return less.map((changes) => ({ ...plan, ...changes }));
}

/** A number for each name and seed, so that taking one actor out leaves the choices of the others alone. */
export function seedOf(seed: number, name: string): number {
  let hash = (seed ^ 0x811c9dc5) >>> 0;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}
