import { asHubError, HubError } from '../../core/errors.ts';
import type { Authentication } from '../../core/identity/authentication.ts';
import type { Principal } from '../../core/identity/types.ts';
import type { Message } from '../../wire/amqp/message.ts';
import { type Answer, refusedAnswer } from './request-node.ts';

/**
 * Carries out a put-token (service reference 1.3): the token must be good for the name that it is put for. `granted` is
 * told the name, who it proves, and the token. The answer of a failure says nothing of its reason.
 */
export async function putToken(
  request: Message,
  { authentication, peer }: { readonly authentication: Authentication; readonly peer: string },
  granted: (name: string, principal: Principal, token: string) => void,
  refused: (error: HubError) => void,
): Promise<Answer> {
  try {
    const { name, token } = readPutToken(request);
    granted(name, await authentication.token(token, name, peer), token);
    // Exactly 200: two of the SDKs take nothing else.
    return { status: 200, description: 'OK' };
  } catch (error) {
    const refusal = asHubError(error);
    refused(refusal);
    return refusedAnswer(refusal);
  }
}

/** @throws HubError ArgumentInvalid */
function readPutToken({ applicationProperties, body }: Message): { readonly name: string; readonly token: string } {
  if (applicationProperties.get('operation') !== 'put-token') {
    throw new HubError('ArgumentInvalid', 'This node knows the operation put-token.');
  }
  const name = applicationProperties.get('name');
  if (typeof name !== 'string') throw new HubError('ArgumentInvalid', 'The name of the audience is missing.');
  const token = Buffer.isBuffer(body) ? body.toString('utf8') : body;
  if (typeof token !== 'string') throw new HubError('ArgumentInvalid', 'The token is missing.');
  return { name, token };
}
