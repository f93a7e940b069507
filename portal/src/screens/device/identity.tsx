/** Who a device is, and how it proves that: keys are shown only when they are asked for. */
import { useState } from 'preact/hooks';
import { api } from '../../api.ts';
import { deleteDevice, type Identity, replaceDevice } from '../../devices.ts';
import { CopyButton, Dialog } from '../../parts/controls.tsx';
import { Failure, Text, Time, timeOf, useWork } from '../../parts/words.tsx';
import { go } from '../../router.ts';
import { useMay, useSession } from '../../session.ts';
import { deviceConnectionString } from '../../snippets/snippets.ts';
import type { TabProps } from '../device.tsx';

const kinds = {
  sas: 'keys (shared access signatures)',
  selfSigned: 'a certificate, known by its thumbprint',
  certificateAuthority: 'a certificate of a registered authority',
  none: 'nothing',
} as const;

export function IdentityTab({ device, again }: TabProps<Identity>) {
  const mayWrite = useMay('RegistryWrite');
  return (
    <div class="grid">
      <section class="card">
        <h2>Identity</h2>
        <dl class="facts">
          <dt>Id</dt>
          <dd>
            <Text value={device.deviceId} /> <CopyButton text={device.deviceId} />
          </dd>
          <dt>Status</dt>
          <dd>
            {device.status}
            {device.statusReason !== null && (
              <>
                {': '}
                <Text value={device.statusReason} />
              </>
            )}
          </dd>
          <dt>Proves itself by</dt>
          <dd>{kinds[device.authentication.type]}</dd>
          <dt>Last activity</dt>
          <dd>
            <Time at={timeOf(device.lastActivityTime)} ago />
          </dd>
          <dt>Commands waiting</dt>
          <dd>{device.cloudToDeviceMessageCount}</dd>
          <dt>Edge device</dt>
          <dd>{device.capabilities?.iotEdge ? 'yes' : 'no'}</dd>
          <dt>Generation</dt>
          <dd class="mono small">{device.generationId}</dd>
          <dt>ETag</dt>
          <dd class="mono small">{device.etag}</dd>
        </dl>
      </section>
      <div class="stack">
        <Credentials device={device} again={again} mayWrite={mayWrite} />
        {mayWrite && <Changes device={device} again={again} />}
      </div>
    </div>
  );
}

function Credentials({ device, again, mayWrite }: TabProps<Identity> & { readonly mayWrite: boolean }) {
  const { hostName } = useSession();
  const [isShown, setShown] = useState(false);
  const [rotates, setRotates] = useState<'primaryKey' | 'secondaryKey'>();
  const { symmetricKey, x509Thumbprint, type } = device.authentication;
  if (type === 'selfSigned') {
    return (
      <section class="card">
        <h2>Certificates</h2>
        <dl class="facts">
          <dt>First thumbprint</dt>
          <dd class="mono small">{x509Thumbprint.primaryThumbprint ?? 'none'}</dd>
          <dt>Second thumbprint</dt>
          <dd class="mono small">{x509Thumbprint.secondaryThumbprint ?? 'none'}</dd>
        </dl>
      </section>
    );
  }
  if (type !== 'sas') return null;
  const { primaryKey, secondaryKey } = symmetricKey;
  if (primaryKey === null || secondaryKey === null) {
    return (
      <section class="card">
        <h2>Keys</h2>
        <p class="quiet">Your policy may not see keys (RegistryWrite).</p>
      </section>
    );
  }
  const secrets = [
    ['Connection string', deviceConnectionString(hostName, device.deviceId, primaryKey), undefined],
    ['Primary key', primaryKey, 'primaryKey'],
    ['Secondary key', secondaryKey, 'secondaryKey'],
  ] as const;
  return (
    <section class="card">
      <div class="head">
        <h2>Keys</h2>
        <button type="button" class="tiny" aria-pressed={isShown} onClick={() => setShown(!isShown)}>
          {isShown ? 'Hide' : 'Show'}
        </button>
      </div>
      <dl class="stack tight">
        {secrets.map(([name, secret, which]) => (
          <div key={name}>
            <dt class="quiet small">{name}</dt>
            <dd class="row nowrap">
              <code class="secret">{isShown ? <Text value={secret} /> : '•'.repeat(24)}</code>
              <CopyButton text={secret} />
              {mayWrite && which !== undefined && (
                <button type="button" class="tiny" onClick={() => setRotates(which)}>
                  Rotate
                </button>
              )}
            </dd>
          </div>
        ))}
      </dl>
      {rotates !== undefined && (
        <Rotate device={device} which={rotates} done={again} close={() => setRotates(undefined)} />
      )}
    </section>
  );
}

function Rotate(props: {
  readonly device: Identity;
  readonly which: 'primaryKey' | 'secondaryKey';
  readonly done: () => void;
  readonly close: () => void;
}) {
  const { device, which, done, close } = props;
  const { isBusy, error, run } = useWork();
  const name = which === 'primaryKey' ? 'primary key' : 'secondary key';
  const rotate = async (): Promise<void> => {
    const body = { policyKey: which, devices: [{ id: device.deviceId }] };
    if (await run(async () => void (await api('POST', '/devices/keys/regenerate', { body })))) {
      done();
      close();
    }
  };
  return (
    <Dialog title={`A new ${name}`} close={close}>
      <p>
        The hub makes a new {name}, and the old one ends at once: programs that use it are refused, and a connection
        that was made with it is closed. Those that use the other key go on.
      </p>
      <Failure error={error} />
      <div class="foot">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button type="button" class="primary" disabled={isBusy} onClick={() => void rotate()}>
          Make a new {name}
        </button>
      </div>
    </Dialog>
  );
}

function Changes({ device, again }: TabProps<Identity>) {
  const { isBusy, error, run } = useWork();
  const [isDeleting, setDeleting] = useState(false);
  const next = device.status === 'enabled' ? 'disabled' : 'enabled';
  const change = async (): Promise<void> => {
    await run(async () => void (await replaceDevice(device, { status: next })));
    again();
  };
  const remove = async (): Promise<void> => {
    if (await run(() => deleteDevice(device))) go('/devices');
  };
  return (
    <section class="card stack">
      <h2>Change</h2>
      <p class="quiet small">
        A disabled device keeps everything, and cannot connect. A deleted one is gone with its keys, twin and commands.
      </p>
      {!isDeleting && <Failure error={error} />}
      <div class="row">
        <button type="button" disabled={isBusy} onClick={() => void change()}>
          {next === 'disabled' ? 'Disable device' : 'Enable device'}
        </button>
        <button type="button" class="danger" disabled={isBusy} onClick={() => setDeleting(true)}>
          Delete device …
        </button>
      </div>
      {isDeleting && (
        <Dialog title="Delete this device?" close={() => setDeleting(false)}>
          <p>
            <strong>
              <Text value={device.deviceId} />
            </strong>{' '}
            is deleted with its keys, twin, modules and waiting commands. Telemetry that it has sent stays as long as it
            is kept.
          </p>
          <Failure error={error} />
          <div class="foot">
            <button type="button" onClick={() => setDeleting(false)}>
              Cancel
            </button>
            <button type="button" class="danger" disabled={isBusy} onClick={() => void remove()}>
              Delete
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}
