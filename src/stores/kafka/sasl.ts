/**
 * The client's side of a login at a broker: PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677), as messages that the connection carries.
 * Nothing here logs, and no error holds a name's password or proof.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { limits } from '../../base/limits.ts';

export const saslMechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
export type SaslMechanism = (typeof saslMechanisms)[number];

export interface SaslLogin {
  readonly mechanism: SaslMechanism;
  readonly user: string;
  readonly password: string;
}

/** Sends a message of the login and gives what the broker answers to it. */
export type SaslExchange = (message: Buffer) => Promise<Buffer>;

/** @throws Error the broker's proof is not that of a server that knows the password; a refusal is the exchange's own error */
export async function logIn({ mechanism, user, password }: SaslLogin, exchange: SaslExchange): Promise<void> {
  if (mechanism === 'PLAIN') await exchange(Buffer.from(`\0${user}\0${password}`));
  else await scram(mechanism === 'SCRAM-SHA-256' ? 'sha256' : 'sha512', user, password, exchange);
}

const derive = promisify(pbkdf2);
/** The header of GS2 of a client that binds to no channel, and its form in the last message. */
const NO_BINDING = 'n,,';

async function scram(hash: 'sha256' | 'sha512', user: string, password: string, exchange: SaslExchange): Promise<void> {
  const nonce = randomBytes(24).toString('base64');
  const first = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  const challenge = (await exchange(Buffer.from(NO_BINDING + first))).toString();
  const fields = fieldsOf(challenge);
  const rounds = Number(fields.get('i'));
  const joined = fields.get('r') ?? '';
  const salt = Buffer.from(fields.get('s') ?? '', 'base64');
  if (!joined.startsWith(nonce) || joined.length === nonce.length || salt.length === 0) {
    throw new Error('the broker does not follow SCRAM: its nonce or its salt is missing');
  }
  if (!Number.isInteger(rounds) || rounds < 4096 || rounds > limits.kafkaScramRoundsMax) {
    throw new Error(
      `the broker asks for ${fields.get('i')} rounds of SCRAM: 4096 to ${limits.kafkaScramRoundsMax} are taken`,
    );
  }
  const bytes = hash === 'sha256' ? 32 : 64;
  const salted = await derive(password.normalize('NFKC'), salt, rounds, bytes, hash);
  const keyed = (key: Buffer, text: string): Buffer => createHmac(hash, key).update(text).digest();
  const last = `c=${Buffer.from(NO_BINDING).toString('base64')},r=${joined}`;
  const all = [first, challenge, last].join(',');
  const clientKey = keyed(salted, 'Client Key');
  const signature = keyed(createHash(hash).update(clientKey).digest(), all);
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ signature[at])).toString('base64');
  const answer = fieldsOf((await exchange(Buffer.from(`${last},p=${proof}`))).toString());
  const shown = Buffer.from(answer.get('v') ?? '', 'base64');
  const expected = keyed(keyed(salted, 'Server Key'), all);
  if (shown.length !== expected.length || !timingSafeEqual(shown, expected)) {
    throw new Error('the broker has not proved that it knows the password: it may be another server');
  }
}

/** `a=1,b=2` by its letters; a value may hold `=`. */
function fieldsOf(text: string): Map<string, string> {
  return new Map(text.split(',').map((field) => [field.slice(0, 1), field.slice(2)] as const));
}
