/** The operator's own certificates: read at the start, and again when a file changes or a reload is asked for. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { Log } from '../../base/log.ts';
import { fits } from './authority-files.ts';
import { missingInChain } from './certificate-chain.ts';
import type { PemPair } from './certificates.ts';
import { namesOf, readPair, TlsError } from './tls-pairs.ts';
import { type ServerTls, SwappableSource } from './tls-source.ts';

/** Files are compared this often by their times, which also works where a file is a link that is switched. */
const watchEveryMs = 2000;

export interface OwnFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** A certificate of the other kind of key: with RSA beside ECDSA, stacks that know one of them only are served. */
  readonly second?: { readonly certFile: string; readonly keyFile: string };
  /** The root that clients trust, where it is none of the public ones. */
  readonly caFile?: string;
}

/**
 * A change that cannot be used is logged, and the last good certificates stay.
 * @throws TlsError
 */
export function openOwnTls(files: OwnFiles, { log }: { readonly log: Log }): ServerTls {
  const source = new SwappableSource(readPairs(files));
  const { certFile } = files;
  let problem: string | undefined;
  let chainProblem: string | undefined;
  const judgeChains = (): void => {
    const before = chainProblem;
    chainProblem = chainProblemOf(files);
    if (chainProblem !== undefined && chainProblem !== before) log.warn({ chain: chainProblem }, 'clients may refuse');
  };
  const look = (): void => {
    try {
      if (source.swap(readPairs(files))) log.info({ certFile }, 'the certificate was read again');
      judgeChains();
      problem = undefined;
    } catch (error) {
      problem = (error as Error).message;
      log.error({ certFile, error: (error as Error).message }, 'the new certificate is not used');
    }
  };
  judgeChains();
  const watched = pairsOf(files).flatMap((pair) => [pair.certFile, pair.keyFile]);
  for (const file of watched) watchFile(file, { interval: watchEveryMs, persistent: false }, look);
  return {
    caFile: undefined,
    authority: undefined,
    names: [...new Set(source.current().cert.flatMap((cert) => namesOf(new X509Certificate(cert))))],
    current: () => source.current(),
    watch: (listener) => source.watch(listener),
    problem: () => problem,
    chainProblem: () => chainProblem,
    reload: async () => look(),
    close: () => {
      for (const file of watched) unwatchFile(file, look);
    },
  };
}

const pairsOf = ({ certFile, keyFile, second }: OwnFiles) => [{ certFile, keyFile }, ...(second ? [second] : [])];

/** ECDSA first, as every door prefers it. @throws TlsError */
function readPairs(files: OwnFiles): readonly PemPair[] {
  const pairs = pairsOf(files).map(({ certFile, keyFile }, at) => readOwnPair(certFile, keyFile, at === 1));
  const kinds = pairs.map(({ cert }) => new X509Certificate(cert).publicKey.asymmetricKeyType);
  if (kinds[0] === kinds[1]) {
    throw new TlsError(
      `tlsCertFile and tlsSecondCertFile have the same kind of key (${kinds[0]}); only one of each kind can be shown. ` +
        'Give one with an RSA key and one with an elliptic curve key, or leave tlsSecondCertFile out.',
    );
  }
  return kinds[1] === 'ec' ? pairs.toReversed() : pairs;
}

function readOwnPair(certFile: string, keyFile: string, isSecond: boolean): PemPair {
  const pair = readPair(certFile, keyFile);
  if (fits(pair)) return pair;
  throw new TlsError(
    `${isSecond ? 'tlsSecondCertFile' : 'tlsCertFile'} ${certFile} and its key file ${keyFile} do not belong together or are not PEM. ` +
      'Give the certificate with its chain, and the private key that was made for it, without a password.',
  );
}

function chainProblemOf(files: OwnFiles): string | undefined {
  let trusted: string | undefined;
  try {
    if (files.caFile !== undefined) trusted = readFileSync(files.caFile, 'utf8');
  } catch (error) {
    return `tlsCaFile cannot be read (${(error as Error).message}). Check the path and the rights.`;
  }
  for (const { certFile } of pairsOf(files)) {
    const missing = missingInChain(readFileSync(certFile, 'utf8'), trusted);
    if (missing !== undefined) return `${certFile}: ${missing}`;
  }
  return undefined;
}
