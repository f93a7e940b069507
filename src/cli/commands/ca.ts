import { X509Certificate } from 'node:crypto';
import { isIPv6 } from 'node:net';
import tls from 'node:tls';
import type { Command } from 'commander';
import { Failure } from '../failure.ts';
import { type Login, serverName } from '../login/login.ts';
import { facts, paint } from '../output/table.ts';
import { duration, isoTime } from '../output/values.ts';
import { print, type Terminal } from '../terminal.ts';
import { addRotateCommand } from './ca-rotate.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

const HANDSHAKE_MS = 10_000;

export function addCaCommands(program: Command, terminal: Terminal): void {
  const ca = program.command('ca').summary('the CA behind the hub’s certificate').description('The CA of a hub.');
  const show = withLogin(ca.command('show'))
    .description(
      'Shows the CA certificate that clients must trust (its path, fingerprint, names and end), ' +
        'and the certificate that the hub presents at the moment.',
    )
    .option('--pem', 'print the certificate itself')
    .action((options: CommonOptions & { pem?: boolean }) => showCa(loginFrom(options, terminal), options, terminal));
  examples(show, ['mooring ca show', 'mooring ca show --pem > ca.pem', 'NODE_EXTRA_CA_CERTS=ca.pem node device.js']);
  addRotateCommand(ca, terminal);
}

async function showCa(login: Login, options: { pem?: boolean }, terminal: Terminal): Promise<void> {
  if (login.ca === undefined) {
    throw new Failure(`${login.source} does not say which CA signs the hub’s certificate.`, {
      hint: 'Log in with the hub’s endpoints.json, or name the CA with --ca-file FILE.',
    });
  }
  if (options.pem === true) {
    await print(terminal, login.ca.pem.trimEnd());
    return;
  }
  const authority = describe(readCertificate(login.ca.file, login.ca.pem));
  const presented = await presentedBy(login);
  if (terminal.json) {
    await print(terminal, JSON.stringify({ file: login.ca.file, ...authority, presented }, undefined, 2));
    return;
  }
  await print(terminal, facts(terminal.out, [['CA file', login.ca.file], ...lines(authority, terminal)]));
  if ('error' in presented) {
    await print(terminal, `\nThe hub could not be asked for its certificate: ${presented.error}`);
    return;
  }
  const trusted = presented.trusted ? 'yes' : `no: ${presented.trustError}`;
  await print(terminal, `\n${paint(terminal.out, 'bold', `Presented at ${presented.place}`)}`);
  await print(terminal, facts(terminal.out, [...lines(presented, terminal), ['signed by this CA', trusted]]));
}

interface CertificateFacts {
  readonly subject: string;
  readonly names: readonly string[];
  /** SHA-256 over the DER bytes, colon-separated upper-case hexadecimal, as browsers and openssl show it. */
  readonly fingerprint: string;
  readonly validFrom: string;
  readonly validTo: string;
}

function readCertificate(file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Failure(`${file} holds no certificate in PEM form.`, { cause: error });
  }
}

function describe(certificate: X509Certificate): CertificateFacts {
  const alternatives = certificate.subjectAltName
    ?.split(', ')
    .map((name) => shortName(name.replace(/^(DNS|IP Address):/, '')));
  return {
    subject: certificate.subject.split('\n').join(', '),
    names: alternatives ?? [],
    fingerprint: certificate.fingerprint256,
    validFrom: isoTime(certificate.validFromDate.getTime()),
    validTo: isoTime(certificate.validToDate.getTime()),
  };
}

/** OpenSSL writes IPv6 addresses in full, people do not: `::1`. */
function shortName(name: string): string {
  return isIPv6(name) ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name;
}

function lines(shown: CertificateFacts, terminal: Terminal): [string, string | undefined][] {
  const left = Date.parse(shown.validTo) - Date.now();
  const end = left > 0 ? `(in ${duration(left)})` : paint(terminal.out, 'red', '(ended)');
  return [
    ['subject', shown.subject],
    ['names', shown.names.length === 0 ? undefined : shown.names.join(', ')],
    ['SHA-256', shown.fingerprint],
    ['valid from', shown.validFrom],
    ['valid to', `${shown.validTo} ${end}`],
  ];
}

type Presented =
  | (CertificateFacts & { readonly place: string; readonly trusted: boolean; readonly trustError?: string })
  | { readonly error: string };

/** What the hub shows to a client that connects now: the certificate is reported even when it is not trusted. */
function presentedBy(login: Login): Promise<Presented> {
  const port = login.ports.https ?? login.ports.mqtts ?? login.ports.amqps;
  if (port === undefined) return Promise.resolve({ error: 'it serves no TLS port' });
  const place = `${login.hostName}:${port}`;
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: login.hostName,
      port,
      servername: serverName(login.hostName),
      ca: login.ca?.pem,
      rejectUnauthorized: false,
      timeout: HANDSHAKE_MS,
    });
    const end = (answer: Presented): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('timeout', () => end({ error: `no answer from ${place}` }));
    socket.on('error', (error: NodeJS.ErrnoException) => end({ error: `${place}: ${error.code ?? error.message}` }));
    socket.on('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate();
      if (certificate === undefined) return end({ error: `${place} presents no certificate` });
      const trust = socket.authorized ? {} : { trustError: String(socket.authorizationError) };
      end({ ...describe(certificate), place, trusted: socket.authorized, ...trust });
    });
  });
}
