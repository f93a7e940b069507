/** The parsers of texts that strangers reach, and what a refusal of any parser is. */
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { ConnectionStringError, parseLogin, splitHostPort } from '../../src/api/connection-string.ts';
import { readCredential } from '../../src/cli/login/connection-string.ts';
import { HubError } from '../../src/core/errors.ts';
import { hostNames } from '../../src/core/identity/host-names.ts';
import { hasAcceptedHost, identityOf, parseResource } from '../../src/core/identity/resource.ts';
import { decodings, isSignedBy, parseSasToken } from '../../src/core/identity/sas-token.ts';
import { cursorOf } from '../../src/core/query/continuation.ts';
import { routingDialect } from '../../src/core/query/dialects.ts';
import { parseCondition } from '../../src/core/query/parser.ts';
import { parseQuery } from '../../src/core/query/statement.ts';
import { readAddress } from '../../src/protocols/amqp/addresses.ts';
import { readSelector } from '../../src/protocols/amqp/back-ends/positions.ts';
import { readPlainUser } from '../../src/protocols/amqp/engine/sasl.ts';
import { ifMatchOf, originForm, pathOf } from '../../src/protocols/http/addresses.ts';
import { lockMsOf, telemetryOf as telemetryOfHttp } from '../../src/protocols/http/device-mapping.ts';
import { grant, NO_GRANTS, publishTarget } from '../../src/protocols/mqtt/addresses.ts';
import { telemetryOf } from '../../src/protocols/mqtt/mapping.ts';
import { parseUserName } from '../../src/protocols/mqtt/user-name.ts';
import { readCommandAddress } from '../../src/protocols/shared/command-address.ts';
import { AmqpDecodeError } from '../../src/wire/amqp/values.ts';
import { MalformedPacket } from '../../src/wire/mqtt/packets.ts';
import { corpus } from './campaign.ts';

const names = hostNames('mooring', ['localhost', '127.0.0.1']);
const key = { deviceId: 'd1' };
export const refusals = [HubError, AmqpDecodeError, MalformedPacket, ConnectionStringError];

export const texts = [...corpus('tokens'), ...corpus('addresses'), ...corpus('texts'), ...corpus('queries')];
export const textParsers: readonly ((text: string) => unknown)[] = [
  (text) => {
    const token = parseSasToken(text);
    if (token === undefined) return;
    assert.equal(
      isSignedBy(token, [createSecretKey(Buffer.alloc(32)), createSecretKey(Buffer.alloc(32, 9))], false),
      false,
    );
    assert.ok(Number.isSafeInteger(token.expiresAt));
  },
  (text) => decodings(text).map((form) => identityOf(parseResource(form).path)),
  (text) => hasAcceptedHost(text, names),
  (text) => parseUserName(text, names),
  (text) => {
    // Whatever the topic says, a device publishes for itself only.
    const target = publishTarget(text, key);
    if (target?.kind === 'telemetry') assert.ok(text.startsWith('devices/d1/messages/events'));
  },
  (text) => {
    if (grant(NO_GRANTS, key, text, 1) !== undefined) assert.ok(!text.includes('d2'));
  },
  (text) => {
    const { properties } = telemetryOf(text, Buffer.of(1), false);
    assert.ok(properties.every(([name]) => typeof name === 'string'));
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  },
  (text) => readAddress(text),
  (text) => readCommandAddress(text),
  (text) => readSelector(text),
  (text) => readPlainUser(text, names),
  (text) => [originForm(text), pathOf(text), ifMatchOf(text)],
  (text) => telemetryOfHttp(['iothub-messageid', text, 'iothub-app-a', text, `iothub-app-${text}`, 'x'], Buffer.of(1)),
  (text) => telemetryOfHttp(['content-type', 'application/vnd.microsoft.iothub.json'], Buffer.from(text)),
  (text) => lockMsOf(['IotHub-MessageLockTimeout', text], { messageLockTimeout: text }),
  (text) => parseQuery(text),
  (text) => parseQuery(`SELECT * FROM devices WHERE ${text}`),
  (text) => parseCondition(text, routingDialect),
  (text) => cursorOf('SELECT * FROM devices', text),
  (text) => parseLogin(text),
  (text) => readCredential(text, 'a file'),
  (text) => splitHostPort(text),
];
