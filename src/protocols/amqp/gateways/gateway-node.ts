/** `$gateway`: what a gateway asks about the devices behind it (`docs/gateway-remote.md`). */
import { HubError } from '../../../core/errors.ts';
import type { Hub } from '../../../core/hub.ts';
import type { DevicePrincipal, IdentityKey, PolicyPrincipal } from '../../../core/identity/types.ts';
import { string } from '../../../wire/amqp/fields.ts';
import type { Message } from '../../../wire/amqp/message.ts';
import { ByteReader } from '../../../wire/gateway/bytes.ts';
import { certificateOf } from '../../shared/peer-certificate.ts';
import { type Answer, refusedAnswer } from '../request-node.ts';

/**
 * Carries out one request; it never rejects. `judge` says whether what a device has shown proves it, which the gateway then lets in:
 * nothing of it is kept here. A device that was refused is told no more than at the hub's own doors.
 * @param principal who asks, as of now; throws HubError
 */
export async function answerGateway(request: Message, hub: Hub, principal: () => PolicyPrincipal): Promise<Answer> {
  try {
    const policy = principal();
    const operation = request.applicationProperties.get('operation');
    if (operation === 'sharedKey') return await sharedKey(request, hub, policy);
    if (operation === 'create') return await create(request, hub, policy);
    if (operation !== 'judge') {
      throw new HubError('ArgumentInvalid', 'This node knows the operations judge, sharedKey and create.');
    }
    const { key, expiresAt } = await judge(request, hub, policy);
    const body = { device: key, ...(Number.isFinite(expiresAt) && { expiresAt }) };
    return { status: 200, description: 'OK', body: string(JSON.stringify(body)) };
  } catch (error) {
    return refusedAnswer(error instanceof HubError ? error : new HubError('ServerError', undefined, { cause: error }));
  }
}

/** The key by which a device proves itself to the gateway (`Registry.deriveSharedKey`), in base64; null = it has none. */
async function sharedKey(
  { applicationProperties }: Message,
  { registry }: Hub,
  policy: PolicyPrincipal,
): Promise<Answer> {
  const derived = await registry.deriveSharedKey(policy, keyOf(applicationProperties.get('device')));
  const key = derived === undefined ? null : Buffer.from(derived).toString('base64');
  return { status: 200, description: 'OK', body: string(JSON.stringify({ key })) };
}

/** Makes a device that the gateway has seen and the hub does not know: it can prove nothing by itself. The policy may write the registry. */
async function create({ applicationProperties }: Message, { registry }: Hub, policy: PolicyPrincipal): Promise<Answer> {
  const key = keyOf(applicationProperties.get('device'));
  if (key.moduleId !== undefined) throw new HubError('ArgumentInvalid', 'A gateway makes devices, no modules.');
  await registry.put(policy, { ...key, authentication: { type: 'none' } });
  return { status: 200, description: 'OK', body: string(JSON.stringify({ device: key })) };
}

async function judge(
  { applicationProperties, body }: Message,
  { authentication }: Hub,
  policy: PolicyPrincipal,
): Promise<DevicePrincipal> {
  const key = keyOf(applicationProperties.get('device'));
  const kind = applicationProperties.get('kind');
  // The policy must speak for the device, whatever the device has shown; and a disabled one says so to the gateway alone.
  const spoken = await authentication.spokenFor(policy, key).catch((error: unknown) => {
    const isDisabled = error instanceof HubError && error.reason === 'disabled-identity';
    throw isDisabled ? new HubError('DeviceDisabled') : error;
  });
  if (kind === 'vouched') return { ...spoken, expiresAt: Number.POSITIVE_INFINITY };
  if (kind === 'token') {
    const token = Buffer.isBuffer(body) ? body.toString('utf8') : body;
    if (typeof token !== 'string') throw new HubError('ArgumentInvalid', 'The token is missing.');
    return authentication.device(key, { kind: 'token', token });
  }
  if (kind === 'certificate') {
    const certificate = certificateOf(chainOf(body));
    return authentication.device(key, certificate && { kind: 'certificate', certificate });
  }
  throw new HubError('ArgumentInvalid', 'The kind of a proof is token, certificate or vouched.');
}

/** @throws HubError ArgumentInvalid */
function keyOf(device: unknown): IdentityKey {
  if (typeof device !== 'string') throw new HubError('ArgumentInvalid', 'The device is missing.');
  const [deviceId, ...rest] = device.split('/');
  return rest.length === 0 ? { deviceId } : { deviceId, moduleId: rest.join('/') };
}

/** Certificates in DER, each with its length in front. @throws HubError ArgumentInvalid */
function chainOf(body: unknown): readonly Uint8Array[] {
  if (!Buffer.isBuffer(body)) throw new HubError('ArgumentInvalid', 'The certificates are missing.');
  try {
    const reader = new ByteReader(body);
    const chain: Uint8Array[] = [];
    while (!reader.isDone) chain.push(reader.bytes());
    return chain;
  } catch {
    throw new HubError('ArgumentInvalid', 'The certificates cannot be read.');
  }
}
