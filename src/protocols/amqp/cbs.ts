import { asHubError, HubError } from '../../core/errors.ts';
import type { Authentication } from '../../core/identity/authentication.ts';
import { namesEventHub } from '../../core/identity/resource.ts';
import type { Principal } from '../../core/identity/types.ts';
import type { Message } from '../../wire/amqp/message.ts';
import { type Answer, refusedAnswer } from './request-node.ts';

/**
 * Carries out a put-token (service reference 1.3): the token must be good for the name that it is put for. `granted` is
 * told the name, who it proves, and the token. The answer of a failure says nothing of its reason. Success is 202 for an
 * event hub, as Rust's Event Hubs SDK takes nothing else, and 200 for the rest: so do `azure-iothub` and Java's service SDK.
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
    return namesEventHub(name) ? { status: 202, description: 'Accepted' } : { status: 200, description: 'OK' };
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
