/** The box for a condition: completes words, and shows errors at their place. */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { completionAt } from './completion.ts';
import type { Fault } from './filter.ts';

export function QueryBox(props: {
  readonly where: string;
  readonly learned: readonly string[];
  readonly fault: Fault | undefined;
  readonly apply: (where: string) => void;
}) {
  const { where, learned, fault, apply } = props;
  const [text, setText] = useState(where);
  const [caret, setCaret] = useState<number>();
  const [chosen, setChosen] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  useEffect(() => setText(where), [where]);
  const { from, offers } = caret === undefined ? { from: 0, offers: [] } : completionAt(text, caret, learned);
  const close = (): void => {
    setCaret(undefined);
    setChosen(-1);
  };
  const accept = (offer: string): void => {
    const next = `${text.slice(0, from)}${offer}${text.slice(caret ?? text.length)}`;
    const at = from + offer.length;
    setText(next);
    setChosen(-1);
    // After the rendering, which sets the value.
    requestAnimationFrame(() => {
      input.current?.setSelectionRange(at, at);
      input.current?.focus();
      setCaret(at);
    });
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && offers.length > 0) close();
    else if (event.key === 'ArrowDown' && offers.length > 0) setChosen((chosen + 1) % offers.length);
    else if (event.key === 'ArrowUp' && offers.length > 0)
      setChosen(((chosen + offers.length) % (offers.length + 1)) - (chosen <= 0 ? 0 : 1));
    else if ((event.key === 'Enter' || event.key === 'Tab') && offers[chosen] !== undefined) accept(offers[chosen]);
    else if (event.key === 'Enter') {
      close();
      apply(text);
    } else return;
    event.preventDefault();
  };
  const look = (): void => {
    setCaret(input.current?.selectionStart ?? undefined);
    setChosen(-1);
  };
  return (
    <div class="query">
      <input
        ref={input}
        class="mono"
        role="combobox"
        aria-label="Condition"
        aria-autocomplete="list"
        aria-expanded={offers.length > 0}
        aria-controls={list}
        aria-activedescendant={chosen >= 0 ? `${list}-${chosen}` : undefined}
        aria-invalid={fault !== undefined}
        placeholder="Condition, as tags.site = 'north' AND properties.reported.battery < 20"
        spellcheck={false}
        autocomplete="off"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          look();
        }}
        onKeyDown={key}
        onFocus={look}
        onClick={look}
        onBlur={close}
      />
      <ul id={list} class="offers" role="listbox" aria-label="Completions" hidden={offers.length === 0}>
        {offers.map((offer, at) => (
          <li
            key={offer}
            id={`${list}-${at}`}
            role="option"
            aria-selected={at === chosen}
            // The input would lose the focus, and with it the list.
            onMouseDown={(event) => {
              event.preventDefault();
              accept(offer);
            }}
          >
            {offer}
          </li>
        ))}
      </ul>
      {fault !== undefined && (
        <p class="fault" role="alert">
          <code>
            {where.slice(0, fault.at)}
            <mark>{where.slice(fault.at, fault.at + 1) || ' '}</mark>
            {where.slice(fault.at + 1)}
          </code>
          <span>{fault.what}</span>
        </p>
      )}
    </div>
  );
}
