/** Programs that connect as a device, ready to be pasted: `snippets.ts` makes them, and the tests run them. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { api, Refusal } from '../api.ts';
import type { Identity } from '../devices.ts';
import { Code, CopyButton, download, Tabs } from '../parts/controls.tsx';
import { Failure, useAnswer } from '../parts/words.tsx';
import { href, usePlace } from '../router.ts';
import { useSession } from '../session.ts';
import { deviceToken } from '../simulation/token.ts';
import { snippetsOf } from '../snippets/snippets.ts';

const texts = import.meta.glob<string>('../../../examples/devices/*', { query: '?raw', import: 'default' });

/** A program in each language, and the shell's lines around it. */
export function Programs({ device }: { readonly device: Identity }) {
  const session = useSession();
  const { query } = usePlace();
  const key = device.authentication.symmetricKey.primaryKey;
  const token = useAnswer(`token ${device.deviceId} ${device.etag}`, async () =>
    key === null ? undefined : deviceToken(session.hostName, device.deviceId, key),
  );
  const snippets = useMemo(
    () =>
      key === null || token.data === undefined
        ? []
        : snippetsOf({ ...session, deviceId: device.deviceId, key, token: token.data }),
    [session, device, key, token.data],
  );
  if (device.authentication.type !== 'sas') {
    return (
      <p class="note">
        This device proves itself by a certificate. Give the SDK its certificate and key in place of a connection
        string.
      </p>
    );
  }
  if (key === null) {
    return <p class="note">Your policy may not see the keys of devices (RegistryWrite), which the programs need.</p>;
  }
  const chosen = snippets.find(({ id }) => id === query.get('by')) ?? snippets[0];
  if (chosen === undefined) return null;
  const place = Object.fromEntries(query);
  return (
    <section class="stack" aria-label="Programs">
      <h3>With a program of your own</h3>
      <Tabs label="Languages" open={chosen.id}>
        {snippets.map(({ id, title }) => (
          <a
            key={id}
            href={href(location.pathname, { ...place, by: id })}
            aria-current={id === chosen.id ? 'true' : undefined}
          >
            {title}
          </a>
        ))}
      </Tabs>
      {chosen.obstacle !== undefined && <p class="note warn">{chosen.obstacle}</p>}
      <Authority />
      {chosen.install !== undefined && chosen.id !== 'c' && <Code title="shell, once" text={chosen.install} />}
      {chosen.files.map((name) => (
        <Program key={name} name={name} />
      ))}
      {chosen.install !== undefined && chosen.id === 'c' && <Code title="shell, once" text={chosen.install} />}
      <Code title="shell" text={chosen.run} />
      <p class="quiet small">
        These lines hold a credential of the device.{' '}
        {/(?:^c|mosquitto|curl)$/.test(chosen.id) && 'The token works for a day.'}
      </p>
    </section>
  );
}

/** What clients must trust; where the operator has brought a certificate, they may know its authority already. */
function Authority() {
  const authority = useAnswer('authority', async (signal) => {
    try {
      return (await api<{ bundle: string }>('GET', '/mooring/v1/server-authority', { signal })).data.bundle;
    } catch (error) {
      if (error instanceof Refusal && error.code === 'OperationNotAvailable') return null;
      throw error;
    }
  });
  const { data } = authority;
  if (data === undefined) return <Failure error={authority.error} again={authority.again} />;
  if (data === null) {
    return (
      <p>
        The certificate of this hub was brought by its operator. In an empty folder, save the authority that has signed
        it as <code>ca.pem</code>.
      </p>
    );
  }
  return (
    <div class="row">
      <span>
        In an empty folder, save the hub's certificate authority as <code>ca.pem</code>
      </span>
      <button type="button" class="tiny" onClick={() => download('ca.pem', [data], 'application/x-pem-file')}>
        Download ca.pem
      </button>
      <CopyButton text={data} />
    </div>
  );
}

function Program({ name }: { readonly name: string }) {
  const [text, setText] = useState<string>();
  useEffect(() => {
    void texts[`../../../examples/devices/${name}`]?.().then(setText);
  }, [name]);
  return text === undefined ? null : <Code title={name} text={text} />;
}
