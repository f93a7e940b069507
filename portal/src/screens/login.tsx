/** Without a session: how to get one. */
import { useState } from 'preact/hooks';
import iconAddress from '../icon.svg';
import { Field } from '../parts/controls.tsx';
import { Failure, useWork } from '../parts/words.tsx';
import { logIn } from '../session.ts';

export function Login({ why }: { readonly why: string | undefined }) {
  const [key, setKey] = useState('');
  const { isBusy, error, run } = useWork();
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    await run(() => logIn(key.trim()));
    setKey('');
  };
  return (
    <main class="login">
      <form class="card stack" onSubmit={send}>
        <div class="row">
          <img src={iconAddress} alt="" width="32" height="32" />
          <h1>Mooring</h1>
        </div>
        {why !== undefined && (
          <p class="note" role="status">
            {why}
          </p>
        )}
        <p>
          On the hub's machine, run <code>mooring portal</code> and open the link that it prints. It works once.
        </p>
        <hr />
        <Field
          label="Or paste the connection string of a policy"
          hint="HostName=…;SharedAccessKeyName=…;SharedAccessKey=… It goes to the hub and is not kept by the browser."
        >
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </Field>
        <Failure error={error} />
        <button type="submit" class="primary" disabled={isBusy || key.trim() === ''}>
          Log in
        </button>
      </form>
    </main>
  );
}
