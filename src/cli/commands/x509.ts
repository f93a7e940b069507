import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import type { CertificateAuthority } from '../../api/authorities.ts';
import { Failure } from '../failure.ts';
import type { Login } from '../login/login.ts';
import { facts, printable, table } from '../output/table.ts';
import { localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

export function addX509Commands(program: Command, terminal: Terminal): void {
  const x509 = program
    .command('x509')
    .summary('certificates of devices')
    .description('Devices that prove themselves by certificates.');
  const ca = x509
    .command('ca')
    .description('The certificate authorities whose devices may connect; the hub’s own CA is `mooring ca`.');

  const add = withLogin(ca.command('add'))
    .argument('<name>')
    .argument('<file>', 'the certificate of the CA, PEM')
    .description('Registers a CA. It lets nobody in before it is proved.')
    .action((name: string, file: string, options: CommonOptions) =>
      addAuthority(name, file, loginFrom(options, terminal), terminal),
    );
  examples(add, ['mooring x509 ca add factory factory-ca.pem']);

  const prove = withLogin(ca.command('prove'))
    .argument('<name>')
    .argument('<file>', 'a certificate, PEM, which the CA signed and whose common name is the verification code')
    .description('Proves that the CA is yours.')
    .action((name: string, file: string, options: CommonOptions) =>
      proveAuthority(name, file, loginFrom(options, terminal), terminal),
    );
  examples(prove, [
    'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout proof.key -subj /CN=CODE -out proof.csr',
    'openssl x509 -req -in proof.csr -CA factory-ca.pem -CAkey factory-ca.key -days 1 -out proof.pem',
    'mooring x509 ca prove factory proof.pem',
  ]);

  withLogin(ca.command('list'))
    .description('Lists the CAs.')
    .action((options: CommonOptions) => listAuthorities(loginFrom(options, terminal), terminal));

  withLogin(ca.command('delete'))
    .argument('<name>')
    .description('Removes a CA. Its devices are cut off at once, and not let in again.')
    .action((name: string, options: CommonOptions) => deleteAuthority(name, loginFrom(options, terminal), terminal));
}

async function addAuthority(name: string, file: string, login: Login, terminal: Terminal): Promise<void> {
  const certificate = readPem(file, terminal);
  await withApi(login, ['registryReadWrite'], async (api) => {
    const added = await api.certificateAuthorities.add(name, certificate);
    if (terminal.json) return print(terminal, JSON.stringify(added));
    await print(terminal, facts(terminal.out, lines(added)));
    note(
      terminal,
      `\nRegistered. Now sign a certificate with the common name ${added.verificationCode} by this CA, then:\n` +
        `  mooring x509 ca prove ${name} proof.pem`,
    );
  });
}

async function proveAuthority(name: string, file: string, login: Login, terminal: Terminal): Promise<void> {
  const certificate = readPem(file, terminal);
  await withApi(login, ['registryReadWrite'], async (api) => {
    const proved = await api.certificateAuthorities.prove(name, certificate);
    if (terminal.json) await print(terminal, JSON.stringify(proved));
    else note(terminal, `${proved.name} is verified: its devices may connect.`);
  });
}

async function listAuthorities(login: Login, terminal: Terminal): Promise<void> {
  const found = await withApi(login, ['registryRead'], (api) => api.certificateAuthorities.list());
  if (terminal.json) return print(terminal, JSON.stringify(found, undefined, 2));
  const columns = [
    { title: 'name', cell: (row: CertificateAuthority) => printable(row.name) },
    { title: 'verified', cell: (row: CertificateAuthority) => (row.verified ? 'yes' : 'no') },
    { title: 'subject', cell: (row: CertificateAuthority) => printable(row.subject) },
    { title: 'valid to', cell: (row: CertificateAuthority) => localTime(Date.parse(row.validTo)) },
  ];
  return print(terminal, table(terminal.out, columns, found));
}

async function deleteAuthority(name: string, login: Login, terminal: Terminal): Promise<void> {
  await withApi(login, ['registryReadWrite'], async (api) => {
    await api.certificateAuthorities.delete(name);
    if (terminal.json) await print(terminal, JSON.stringify({ deleted: name }));
    else note(terminal, `Removed the CA ${name}.`);
  });
}

function lines(shown: CertificateAuthority): [string, string | undefined][] {
  return [
    ['name', printable(shown.name)],
    ['subject', printable(shown.subject)],
    ['SHA-256', shown.thumbprint],
    ['valid to', shown.validTo],
    ['verification code', shown.verificationCode ?? undefined],
  ];
}

function readPem(file: string, terminal: Terminal): string {
  try {
    return readFileSync(path.resolve(terminal.cwd, file), 'utf8');
  } catch (error) {
    throw new Failure(`${file} cannot be read: ${(error as Error).message}.`, { cause: error });
  }
}
