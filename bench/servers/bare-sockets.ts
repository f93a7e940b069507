/**
 * The least that a server in this runtime can hold per connection: a socket with the listeners that any protocol needs,
 * answered once with a CONNACK. Run as a process: `bare-sockets.ts PORT [CERTIFICATE KEY]`.
 */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const [port, certificateFile, keyFile] = process.argv.slice(2);
const CONNACK = Buffer.from([0x20, 2, 0, 0]);

function accept(socket: net.Socket): void {
  socket.setNoDelay(true);
  socket.on('error', ignore);
  socket.on('data', answer);
}

function ignore(): void {}

function answer(this: net.Socket): void {
  this.write(CONNACK);
}

const server =
  certificateFile !== undefined
    ? tls.createServer(
        {
          cert: readFileSync(certificateFile),
          key: readFileSync(keyFile),
          minVersion: 'TLSv1.2',
          requestCert: true,
          rejectUnauthorized: false,
        },
        accept,
      )
    : net.createServer({ noDelay: true }, accept);
server.listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
