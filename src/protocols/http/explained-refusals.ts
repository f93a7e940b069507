/** What a refusal of a device means, in one sentence, and what to do about it: for people who ask why it cannot connect. */
import { toDoWords } from '../../api/operation-words.ts';
import { errorTable } from '../../core/errors.ts';
import type { AuthenticationCheck } from '../../core/identity/types.ts';

export interface Explanation {
  readonly sentence: string;
  readonly remedy: string;
}

const checks: Readonly<Record<AuthenticationCheck | 'unknown', Explanation>> = {
  'malformed-token': {
    sentence: 'The device sent no readable SAS token.',
    remedy:
      'Compare its user name and password with the snippets of First run: the password is the whole token, from SharedAccessSignature on.',
  },
  'expired-token': {
    sentence: 'The device sent a SAS token whose time is over.',
    remedy:
      'Have it make a new token before each connect, and set its clock: a clock that is behind makes tokens that have ended already.',
  },
  'too-long-token': {
    sentence: 'The device sent a SAS token that lasts longer than this hub allows.',
    remedy: 'Make tokens with a shorter life, or raise tokenLifeHoursMax.',
  },
  'wrong-host': {
    sentence: 'The device’s token or user name is for another host name than this hub’s.',
    remedy:
      'Use the host name of its connection string, or start the hub with --host-name for the name that the device uses.',
  },
  'wrong-resource': {
    sentence: 'The device’s token is for another device, or for something else than a device.',
    remedy: 'Make the token for {host}/devices/{device id}, with the id in the same spelling as in the registry.',
  },
  'unknown-policy': {
    sentence: 'The token names a policy that this hub does not have.',
    remedy: 'Use a connection string of the device itself, or one of endpoints.json.',
  },
  'missing-permission': {
    sentence: 'The policy of the token may not speak for devices.',
    remedy: 'Use the device’s own key, or a policy with DeviceConnect.',
  },
  'unknown-identity': {
    sentence: 'There is no device of this id.',
    remedy: 'Create it, or correct the id: upper and lower case differ.',
  },
  'disabled-identity': {
    sentence: 'The device is disabled.',
    remedy: 'Enable it in the registry; its status reason may say why it was disabled.',
  },
  'wrong-key': {
    sentence: 'The token was signed with another key than the device’s.',
    remedy: 'Copy the connection string again; the key may have been regenerated.',
  },
  'wrong-credential-kind': {
    sentence:
      'The device proves itself in another way than the registry says: by a key instead of a certificate, or the reverse.',
    remedy: 'Change its authentication type in the registry, or what the device sends.',
  },
  'wrong-certificate': {
    sentence:
      'The device’s certificate is not the one that the registry names, or its common name is not the device id.',
    remedy: 'Compare the thumbprint, or the common name, with the registry.',
  },
  'expired-certificate': {
    sentence: 'The device’s certificate has ended.',
    remedy: 'Give it a new one.',
  },
  'premature-certificate': {
    sentence: 'The device’s certificate is not valid yet.',
    remedy: 'Check the clock of the machine that made it, and the hub’s.',
  },
  'unknown-authority': {
    sentence: 'The device’s certificate is signed by an authority that is not registered.',
    remedy: 'Register and verify the authority (mooring ca), or have the device send its intermediates.',
  },
  'unverified-authority': {
    sentence: 'The authority of the device’s certificate is registered but not verified.',
    remedy: 'Verify it: mooring ca verify.',
  },
  'missing-credential': {
    sentence: 'The device showed neither a token nor a certificate.',
    remedy: 'Have it send its SAS token as the password, or its client certificate.',
  },
  'not-judged': {
    sentence: 'So many attempts from the same address have failed that this one was not looked at.',
    remedy: 'Stop what keeps trying from there with wrong credentials; the address is heard again some seconds later.',
  },
  unknown: { sentence: 'The device was not let in.', remedy: 'The log of the hub says more.' },
};

const codes: Readonly<Partial<Record<keyof typeof errorTable, string>>> = {
  ThrottlingException: 'Send less often, or raise the limit that is named.',
  MessageTooLarge: 'Send smaller messages, or raise the limit that is named.',
  IotHubQuotaExceeded: 'Make room, or raise the limit that is named.',
  IotHubUnauthorizedAccess: 'A device may do this for itself only: check the id in its topic, address or path.',
  DeviceMaximumQueueDepthExceeded: 'Have the device complete what waits for it, or purge its commands.',
  PreconditionFailed: 'Read the newest version, then try again.',
  ArgumentInvalid: 'Correct what the device sends: the reason says which value.',
  DeviceNotFound: 'Create the device, or correct the id.',
};

const backEndCodes: typeof codes = {
  IotHubUnauthorizedAccess: 'Give the back end a policy with the permission that it needs.',
  DeviceNotOnline: 'The device was not connected when it was asked: its own connections say why.',
  DeviceMaximumQueueDepthExceeded: 'Have the device complete what waits for it, or purge its commands.',
  PreconditionFailed: 'Have it read the newest version, then try again.',
  ArgumentInvalid: 'Correct what the back end sends: the reason says which value.',
  DeviceNotFound: 'Create the device, or correct the id that the back end uses.',
  DeviceAlreadyExists: 'The device was there already: nothing is wrong with it.',
  ThrottlingException: 'Have it ask less often, or raise the limit that is named.',
};

export function explainedCheck(check: string): Explanation {
  return Object.hasOwn(checks, check) ? checks[check as keyof typeof checks] : checks.unknown;
}

/**
 * @param code of the table of errors @param operation of the permission table; undefined = it is not told
 * @param backEnd the policy of the back end that asked; undefined = the device did
 */
export function explainedCode(code: string, operation?: string, reason?: string, backEnd?: string): Explanation {
  const known = Object.hasOwn(errorTable, code) ? errorTable[code as keyof typeof errorTable] : undefined;
  const why = reason === undefined ? '' : ` (${reason})`;
  const meaning = `${known?.meaning ?? code}${why}`;
  const wanted = operation === undefined ? 'wanted something' : `wanted to ${toDoWords(operation)}`;
  if (backEnd !== undefined) {
    return {
      sentence: `A back end with the policy ${backEnd} ${wanted} and was refused: ${meaning}.`,
      remedy: backEndCodes[code as keyof typeof codes] ?? 'docs/errors.md says what this code means.',
    };
  }
  return {
    sentence: `The device ${wanted} and was refused: ${meaning}.`,
    remedy: codes[code as keyof typeof codes] ?? 'docs/errors.md says what this code means.',
  };
}
