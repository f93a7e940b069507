import type { HubError } from '../../core/errors.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import type { RefusedCode } from '../../gateway/refused.ts';
import type { CloseReason } from '../../gateway/types.ts';

/** A refusal of the hub in the words of adapters. */
export function refusedCodeOf({ code, reason }: HubError): RefusedCode {
  switch (code) {
    case 'IotHubUnauthorized':
    case 'IotHubUnauthorizedAccess':
      return reason === 'disabled-identity' ? 'disabled' : 'unauthorized';
    case 'DeviceDisabled':
      return 'disabled';
    case 'ThrottlingException':
      return 'throttled';
    case 'IotHubQuotaExceeded':
      // That one is over all time: trying again helps nobody until the operator raises it.
      return reason === 'create.max' ? 'unauthorized' : 'throttled';
    case 'MessageTooLarge':
      return 'tooLarge';
    case 'FileNotFound':
      return 'notFound';
    case 'DeviceMaximumActiveFileUploadLimitExceeded':
      return 'throttled';
    case 'ServerError':
    case 'ServiceUnavailable':
      return 'unreachable';
    default:
      return 'invalid';
  }
}

const closeReasons: Readonly<Record<DisconnectReason, CloseReason>> = {
  'by-client': 'closed',
  'connection-lost': 'lost',
  'keep-alive': 'idle',
  'taken-over': 'replaced',
  'token-expired': 'expired',
  disabled: 'disabled',
  deleted: 'deleted',
  'credentials-changed': 'credentials',
  'authority-removed': 'credentials',
  'protocol-error': 'lost',
  'storage-failed': 'lost',
  'hub-stopping': 'stopping',
};

export const closeReasonOf = (reason: DisconnectReason): CloseReason => closeReasons[reason];
