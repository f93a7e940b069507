/** Modules of a device: parts of it with keys, twins and messages of their own. */
import { useState } from 'preact/hooks';
import { api } from '../../api.ts';
import type { Identity } from '../../devices.ts';
import { devicePath } from '../../devices.ts';
import { CopyButton, Field } from '../../parts/controls.tsx';
import { Badge, Failure, Text, useAnswer, useWork } from '../../parts/words.tsx';
import { href } from '../../router.ts';
import { useMay, useSession } from '../../session.ts';
import type { TabProps } from '../device.tsx';

type Module = Identity & { readonly moduleId: string };

export function ModulesTab({ device }: TabProps<Identity>) {
  const path = `${devicePath(device.deviceId)}/modules`;
  const modules = useAnswer(path, async (signal) => (await api<readonly Module[]>('GET', path, { signal })).data);
  const mayWrite = useMay('RegistryWrite');
  const { hostName } = useSession();
  const [id, setId] = useState('');
  const { isBusy, error, run } = useWork();
  const create = async (event: Event): Promise<void> => {
    event.preventDefault();
    const body = { deviceId: device.deviceId, moduleId: id };
    if (await run(async () => void (await api('PUT', `${path}/${encodeURIComponent(id)}`, { body })))) setId('');
    modules.again();
  };
  const remove = async ({ moduleId, etag }: Module): Promise<void> => {
    const headers = { 'if-match': `"${etag}"` };
    await run(async () => void (await api('DELETE', `${path}/${encodeURIComponent(moduleId)}`, { headers })));
    modules.again();
  };
  return (
    <section class="card stack">
      <h2>Modules</h2>
      <Failure error={modules.error} again={modules.again} />
      {modules.data?.length === 0 && (
        <p class="quiet">
          This device has no modules. A module is a part of a device that connects by itself, with a key of its own.
        </p>
      )}
      {modules.data !== undefined && modules.data.length > 0 && (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Module</th>
                <th>State</th>
                <th>
                  <span class="unseen">What can be done</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {modules.data.map((module) => {
                const key = module.authentication.symmetricKey.primaryKey;
                const isConnected = module.connectionState === 'Connected';
                return (
                  <tr key={module.moduleId}>
                    <td>
                      <Text value={module.moduleId} />
                    </td>
                    <td>
                      <Badge mood={isConnected ? 'ok' : ''}>{isConnected ? 'connected' : 'not connected'}</Badge>
                    </td>
                    <td class="row">
                      <a href={href('/device', { id: device.deviceId, tab: 'twin', module: module.moduleId })}>Twin</a>
                      {key !== null && (
                        <CopyButton
                          label="Copy connection string"
                          text={`HostName=${hostName};DeviceId=${device.deviceId};ModuleId=${module.moduleId};SharedAccessKey=${key}`}
                        />
                      )}
                      {mayWrite && (
                        <button type="button" class="danger tiny" disabled={isBusy} onClick={() => void remove(module)}>
                          Delete
                        </button>
                      )}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      <Failure error={error} />
      {mayWrite && (
        <form class="row end" onSubmit={create}>
          <Field label="Id of a new module">
            <input
              required
              maxLength={128}
              spellcheck={false}
              value={id}
              onInput={(event) => setId(event.currentTarget.value)}
            />
          </Field>
          <button type="submit" disabled={isBusy || id === ''}>
            Create module
          </button>
        </form>
      )}
    </section>
  );
}
