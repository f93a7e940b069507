import { ApiError, UnexpectedAnswerError } from '../../api/calls.ts';
import { type ApiClient, createApiClient } from '../../api/client.ts';
import { Failure, networkFailure } from '../failure.ts';
import { type Login, policyCredentialOf, portOf } from '../login/login.ts';

/**
 * Runs `work` with a client of the management API and closes it. Refusals and network errors come out as `Failure`.
 * @param credentials Names of an endpoints file's connection strings that allow the work, the narrowest first.
 */
export async function withApi<T>(
  login: Login,
  credentials: readonly string[],
  work: (api: ApiClient) => Promise<T>,
): Promise<T> {
  const { key, policyName } = policyCredentialOf(login, ...credentials);
  const api = createApiClient({
    login: { hostName: hostForUrl(login.hostName), proof: { kind: 'key', policyName, key } },
    port: portOf(login, 'https'),
    ...(login.ca === undefined ? {} : { ca: login.ca.pem }),
  });
  try {
    return await work(api);
  } catch (error) {
    throw asFailure(error, login, policyName);
  } finally {
    api.close();
  }
}

const hostForUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

const hints: Readonly<Record<string, string>> = {
  DeviceNotFound: 'mooring device list shows the devices there are; ids are case-sensitive.',
  DeviceAlreadyExists: 'Choose another id, or look at it: mooring device show ID.',
  ConfigurationNotFound: 'mooring configuration list and mooring edge deployment list show the ones there are.',
  ConfigurationAlreadyExists: 'Its content stays; what else it has changes: mooring configuration update ID.',
  ConsumerGroupNotFound: 'mooring consumer-group list shows the ones there are.',
  JobNotFound: 'mooring job list shows the ones there are.',
  FileNotFound: 'mooring file list shows the files there are; names are case-sensitive.',
  DeviceMaximumQueueDepthExceeded: 'The device must take some first; mooring command purge ID throws away what waits.',
  PreconditionFailed: 'Another client changed it at the same time; try again.',
  DeviceNotOnline: 'It must be connected and have subscribed to methods; --connect-timeout waits for it.',
  GatewayTimeout: 'The device was asked and has not answered; --timeout waits longer.',
  ThrottlingException: 'Wait a moment, then ask again.',
  ServerError: 'The hub’s log says why.',
  ServiceUnavailable: 'mooring health says what is wrong; the hub’s log as well.',
};

function asFailure(error: unknown, login: Login, policyName: string): unknown {
  if (error instanceof ApiError) {
    if (error.status === 401) {
      return new Failure(`The hub refused the policy ${policyName} of ${login.source}: ${error.message}`, {
        code: error.code,
        cause: error,
        hint: 'Is the key this hub’s, is this machine’s clock right, and does the policy allow it?',
      });
    }
    return new Failure(sentence(error.message), { code: error.code, cause: error, hint: hints[error.code] });
  }
  if (error instanceof UnexpectedAnswerError) {
    return new Failure(error.message, { cause: error, hint: `Is the port in ${login.source} the hub’s HTTPS port?` });
  }
  if (error instanceof Failure) return error;
  // The client's own message says where and why; where the cause has a code, ours says what to do as well.
  if (error instanceof Error && error.cause instanceof Error) {
    const { code } = error.cause as NodeJS.ErrnoException;
    if (typeof code === 'string') return networkFailure(error, `${login.hostName}:${login.ports.https}`);
    return new Failure(error.message, { cause: error });
  }
  return error;
}

/** The hub's texts come with and without a capital and a full stop. A place in a file, as `routes[2].condition`, stays as it is. */
function sentence(text: string): string {
  const begin = text.slice(0, 1);
  return (/^\w+\[\d/.test(text) ? begin : begin.toUpperCase()) + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}
