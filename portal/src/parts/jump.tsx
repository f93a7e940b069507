/** Ctrl-K (on a Mac also Cmd-K): goes to a screen, or to a device by a part of its id. */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { literal, queryPage } from '../devices.ts';
import { go, href } from '../router.ts';
import { useMay } from '../session.ts';
import { Dialog } from './controls.tsx';
import { Failure, Text } from './words.tsx';

export interface Goal {
  readonly name: string;
  readonly address: string;
}

const TYPED_MS = 120;
const DEVICES_MAX = 8;

/** The button, and the box that it or the keys open. */
export function Jump({ screens }: { readonly screens: readonly Goal[] }) {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey)
        return;
      event.preventDefault();
      // A dialog that is open asks for something: it is not covered by another one.
      if (document.querySelector('dialog[open]') === null) setOpen(true);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
  return (
    <>
      <button type="button" class="jump" aria-keyshortcuts="Control+K" onClick={() => setOpen(true)}>
        Go to … <kbd>Ctrl K</kbd>
      </button>
      {isOpen && <Box screens={screens} close={() => setOpen(false)} />}
    </>
  );
}

function Box({ screens, close }: { readonly screens: readonly Goal[]; readonly close: () => void }) {
  const mayQuery = useMay('ServiceConnect');
  const [text, setText] = useState('');
  const [chosen, setChosen] = useState(0);
  const { devices, error } = useDevices(mayQuery ? text.trim() : '');
  const list = useId();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const typed = text.trim().toLowerCase();
  const goals = [
    ...devices.map((id) => ({ name: id, address: href('/device', { id }) })),
    ...screens.filter(({ name }) => name.toLowerCase().includes(typed)),
  ];
  const at = Math.min(chosen, goals.length - 1);
  const take = (goal: Goal | undefined): void => {
    if (goal === undefined) return;
    close();
    go(goal.address);
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === 'ArrowDown') setChosen(Math.min(at + 1, goals.length - 1));
    else if (event.key === 'ArrowUp') setChosen(Math.max(at - 1, 0));
    else if (event.key === 'Enter') take(goals[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Go to" close={close}>
      <input
        ref={input}
        role="combobox"
        aria-label={mayQuery ? 'A screen, or a part of a device id' : 'A screen'}
        aria-autocomplete="list"
        aria-expanded={goals.length > 0}
        aria-controls={list}
        aria-activedescendant={at >= 0 ? `${list}-${at}` : undefined}
        placeholder={mayQuery ? 'A screen, or a part of a device id' : 'A screen'}
        spellcheck={false}
        autocomplete="off"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setChosen(0);
        }}
        onKeyDown={key}
      />
      <ul id={list} class="goals" role="listbox" aria-label="Where to go" hidden={goals.length === 0}>
        {goals.map((goal, place) => (
          <li
            key={goal.address}
            id={`${list}-${place}`}
            role="option"
            aria-selected={place === at}
            // The input would lose the focus before the click.
            onMouseDown={(event) => {
              event.preventDefault();
              take(goal);
            }}
          >
            <Text value={goal.name} />
          </li>
        ))}
      </ul>
      {goals.length === 0 && <p class="quiet">No screen and no device is called so.</p>}
      <Failure error={error} />
    </Dialog>
  );
}

/** Ids that hold what is typed; the one that is the whole of it first. */
function useDevices(text: string): { readonly devices: readonly string[]; readonly error: unknown } {
  const [found, setFound] = useState<{ devices: readonly string[]; error?: unknown }>({ devices: [] });
  useEffect(() => {
    if (text === '') {
      setFound({ devices: [] });
      return;
    }
    const end = new AbortController();
    const ask = async (): Promise<void> => {
      const of = (condition: string, size: number) =>
        queryPage<{ deviceId: string }>(`SELECT deviceId FROM devices WHERE ${condition}`, {
          size,
          signal: end.signal,
        });
      const [whole, parts] = await Promise.all([
        of(`deviceId = ${literal(text)}`, 1),
        of(`CONTAINS(deviceId, ${literal(text)})`, DEVICES_MAX),
      ]);
      const ids = [...whole.rows, ...parts.rows].map(({ deviceId }) => deviceId);
      setFound({ devices: [...new Set(ids)] });
    };
    const timer = setTimeout(() => {
      ask().catch((error: unknown) => {
        if (!end.signal.aborted) setFound({ devices: [], error });
      });
    }, TYPED_MS);
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [text]);
  return { devices: found.devices, error: found.error };
}
