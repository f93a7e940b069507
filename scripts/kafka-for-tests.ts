/**
 * Runs a command with a private broker of Apache Kafka on loopback, ended and removed with it. The command finds it in
 * MOORING_TEST_KAFKA. With PostgreSQL every hub that a test starts then keeps what it has in the two:
 *
 *     scripts/postgres-for-tests.sh node scripts/kafka-for-tests.ts npm test -- behaviour/serve
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { kafkaMissing, startKafka } from '../test/drivers/kafka.ts';

const [command, ...args] = process.argv.slice(2);
const missing = command === undefined ? 'say which command' : kafkaMissing();
if (missing !== undefined) {
  process.stderr.write(`kafka-for-tests: ${missing}\n`);
  process.exit(2);
}
{
  await using kafka = await startKafka();
  const env = { ...process.env, MOORING_TEST_KAFKA: kafka.brokers.join(',') };
  const child = spawn(command, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
}
