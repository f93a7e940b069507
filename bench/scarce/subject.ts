/** One way for a device to reach the hub, as the measurement drives it. */
import tls from 'node:tls';

export interface Subject {
  readonly name: string;
  /** `TLS 1.3`, `none`, … */
  readonly protection: string;
  readonly transport: 'tcp' | 'udp';
  /** Of the server. */
  readonly port: number;
  /** Connects and logs in, over a counting proxy. @param session of a previous connection, to be resumed */
  open(port: number, session: Buffer | undefined): Promise<Opened>;
  /** Longest silence that the server allows, in seconds; undefined = no connection that could be lost. */
  readonly silenceSecondsMax: number | undefined;
}

export interface Opened {
  /** Sends one message; resolves when the hub has it on a disk. */
  send(bytes: number): Promise<void>;
  /** One exchange that keeps the connection; `tcp` = probes of TCP itself; undefined = it is not kept. */
  readonly keepAlive: (() => Promise<void>) | 'tcp' | undefined;
  /** What resumes it: a TLS session. Undefined = it cannot be resumed. */
  session(): Buffer | undefined;
  close(): Promise<void>;
}

/** JSON of so many bytes. */
export function body(bytes: number): string {
  const text = '{"temperature":21.5}';
  return bytes <= text.length ? text.slice(0, bytes) : text.slice(0, -1).padEnd(bytes - 1, ' ') + text.slice(-1);
}

/**
 * TLS 1.3 as a constrained stack speaks it: elliptic curves alone. (A client that offers the hybrid key exchange of newest runtimes sends and
 * gets 1,200 bytes more each way in a full handshake.)
 */
export const constrained: Pick<tls.ConnectionOptions, 'ecdhCurve' | 'ciphers' | 'servername'> = {
  servername: 'localhost',
  ecdhCurve: 'P-256',
  ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256',
};

export interface TlsClient {
  readonly socket: tls.TLSSocket;
  session(): Buffer | undefined;
}

export async function openTls(
  port: number,
  ca: string,
  session: Buffer | undefined,
  alpn: string[] = [],
): Promise<TlsClient> {
  let kept: Buffer | undefined;
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    ca,
    ...constrained,
    ...(alpn.length > 0 && { ALPNProtocols: alpn }),
    ...(session && { session }),
  });
  socket.on('session', (next) => {
    kept = next;
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  socket.setNoDelay(true);
  if (session !== undefined && !socket.isSessionReused()) throw new Error('the TLS session was not resumed');
  return { socket, session: () => kept };
}
