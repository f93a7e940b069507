/**
 * Ports for servers that other programs open, and that stay theirs over a restart. A port below the range from which the system takes
 * the ports of outgoing connections: one from within it, free when it was looked for, may be some client's a moment later. Each process
 * that tests begins at a place of its own.
 */
import { once } from 'node:events';
import net from 'node:net';

/** Below 32,768, where Linux begins by default; above what well-known servers use. */
const [FIRST, END] = [12_000, 32_000];
/** Room for a process before the next one's place. */
const PORTS_PER_PROCESS = 40;

let next = FIRST + ((process.pid * PORTS_PER_PROCESS) % (END - FIRST));

/** So many different ports that nobody listens at on `host`, not given before by this process. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries += 1) {
    if (tries > END - FIRST) throw new Error(`no ${count} free ports from ${FIRST} to ${END} on ${host}`);
    const port = next;
    next = next + 1 < END ? next + 1 : FIRST;
    if (await isFree(port, host)) ports.push(port);
  }
  return ports;
}

export async function freePort(host?: string): Promise<number> {
  const [port] = await freePorts(1, host);
  return port;
}

async function isFree(port: number, host: string): Promise<boolean> {
  const probe = net.createServer();
  const outcome = new Promise<boolean>((resolve) => {
    probe.once('error', () => resolve(false)).once('listening', () => resolve(true));
  });
  probe.listen(port, host);
  if (!(await outcome)) return false;
  probe.close();
  await once(probe, 'close');
  return true;
}
