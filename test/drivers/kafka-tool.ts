/** Kafka's own programs, by the jars of `test-servers/kafka`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const kafkaJars = path.join(import.meta.dirname, '..', '..', 'test-servers', 'kafka', 'jars');

/** Arguments of `java` before a program's class. @param heap its most, e.g. `-Xmx128m` */
export function kafkaJava(heap: string): readonly string[] {
  const lean = ['-Xms64m', heap, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.awt.headless=true'];
  return [...lean, '-cp', path.join(kafkaJars, '*')];
}

/** Runs a program by its class, and gives what it prints. @throws Error with what it says of its failure */
export async function kafkaTool(name: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn('java', [...kafkaJava('-Xmx128m'), name, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {}).end(input);
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (errors += chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${errors.slice(-2000)}`);
  return output;
}

/** Has the broker remove the records of a topic below a place of each partition, as its retention would. */
export async function removeRecordsBelow(
  broker: string,
  topic: string,
  places: ReadonlyMap<number, number>,
): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-offsets-'));
  try {
    const file = path.join(folder, 'offsets.json');
    const partitions = Array.from(places, ([partition, offset]) => ({ topic, partition, offset }));
    writeFileSync(file, JSON.stringify({ version: 1, partitions }));
    const place = ['--bootstrap-server', broker, '--offset-json-file', file];
    await kafkaTool('org.apache.kafka.tools.DeleteRecordsCommand', place);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
