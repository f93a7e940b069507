import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { anonymousLogins, freePort, type RunningServer, type ServerKind, startProgram, stopProgram } from './server.ts';

const BIN = '/usr/lib/rabbitmq/bin';

/**
 * Debian's RabbitMQ with its MQTT plugin; what is published goes into one quorum queue, which syncs its log before it
 * confirms (group commit). Nobody consumes: the queue grows.
 */
export const rabbitmq: ServerKind = {
  name: 'rabbitmq',
  acknowledges: 'after the quorum queue (one node) has synced',
  async start({ connections, tls, directory, bag }): Promise<RunningServer> {
    if (!existsSync(`${BIN}/rabbitmq-server`)) throw new Error('RabbitMQ is not installed: run bench/peers.sh');
    if (tls) throw new Error('the RabbitMQ peer is measured over plain TCP only');
    const [port, amqpPort, distributionPort] = [await freePort(), await freePort(), await freePort()];
    mkdirSync(path.join(directory, 'db'));
    writeFileSync(path.join(directory, 'enabled_plugins'), '[rabbitmq_mqtt,rabbitmq_management_agent].\n');
    const pidFile = path.join(directory, 'pid');
    writeFileSync(
      path.join(directory, 'rabbitmq.conf'),
      [
        `listeners.tcp.1 = 127.0.0.1:${amqpPort}`,
        `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`,
        'mqtt.allow_anonymous = true',
        'mqtt.default_user = guest',
        'mqtt.default_pass = guest',
        'mqtt.prefetch = 1000',
        'disk_free_limit.absolute = 2GB',
        '',
      ].join('\n'),
    );
    const environment = {
      ...process.env,
      HOME: directory,
      RABBITMQ_NODENAME: `bench-${port}@localhost`,
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_BASE: directory,
      RABBITMQ_MNESIA_BASE: path.join(directory, 'db'),
      RABBITMQ_LOG_BASE: path.join(directory, 'log'),
      RABBITMQ_CONFIG_FILE: path.join(directory, 'rabbitmq'),
      RABBITMQ_ENABLED_PLUGINS_FILE: path.join(directory, 'enabled_plugins'),
      RABBITMQ_PID_FILE: pidFile,
      ERL_EPMD_ADDRESS: '127.0.0.1',
    };
    const { child } = await startProgram(
      `${BIN}/rabbitmq-server`,
      [],
      /Starting broker.*completed/s,
      90_000,
      environment,
    );
    try {
      declareQueue(environment);
    } catch (error) {
      await stopProgram(child);
      throw error;
    }
    const pid = Number(readFileSync(pidFile, 'utf8'));
    return {
      pid,
      host: '127.0.0.1',
      port,
      logins: anonymousLogins(connections, bag),
      stop: () => stopProgram(child),
    };
  },
};

/** The queue and its binding, declared inside the node: its command line has no call for them. */
function declareQueue(environment: NodeJS.ProcessEnv): void {
  const name = (kind: string, text: string): string => `rabbit_misc:r(<<"/">>, ${kind}, <<"${text}">>)`;
  const code = [
    `Queue = ${name('queue', 'ingest')}`,
    '{new, _} = rabbit_amqqueue:declare(Queue, true, false, [{<<"x-queue-type">>, longstr, <<"quorum">>}], none, <<"bench">>)',
    `ok = rabbit_binding:add({binding, ${name('exchange', 'amq.topic')}, <<"devices.#">>, Queue, []}, <<"bench">>)`,
  ].join(', ');
  const run = spawnSync(`${BIN}/rabbitmqctl`, ['eval', `${code}.`], { env: environment, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`the queue could not be declared: ${run.stdout}${run.stderr}`);
}
