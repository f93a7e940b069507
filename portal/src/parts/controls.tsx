/** Buttons, choices, dialogs and code to copy. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Text } from './words.tsx';

export function CopyButton({ text, label = 'Copy' }: { readonly text: string; readonly label?: string }) {
  const [said, setSaid] = useState('');
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      setSaid('Select and copy it yourself');
    }
    setTimeout(() => setSaid(''), 2000);
  };
  return (
    <button type="button" class="tiny" onClick={copy}>
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}

export function Code({ title, text }: { readonly title: string; readonly text: string }) {
  return (
    <div class="code">
      <div class="row">
        <span class="quiet mono">{title}</span>
        <CopyButton text={text} />
      </div>
      {/* A scrolling region must be reached by the keyboard. */}
      <pre tabIndex={0} role="region" aria-label={title}>
        <Text value={text} />
      </pre>
    </div>
  );
}

export interface Choice<T extends string> {
  readonly value: T;
  readonly label: string;
}

export function Choices<T extends string>(props: {
  readonly label: string;
  readonly value: T;
  readonly choices: readonly Choice<T>[];
  readonly choose: (value: T) => void;
}) {
  return (
    <div class="choices" role="group" aria-label={props.label}>
      {props.choices.map(({ value, label }) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.choose(value)}>
          {label}
        </button>
      ))}
    </div>
  );
}

export function Field(props: { readonly label: string; readonly hint?: string; readonly children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child
    <label class="field">
      <span>{props.label}</span>
      {props.children}
      {props.hint !== undefined && <span class="quiet small">{props.hint}</span>}
    </label>
  );
}

/** Links of which one is open. In a narrow window they scroll: the open one comes into sight. @param open changes when another one is */
export function Tabs(props: {
  readonly label: string;
  readonly open: string | undefined;
  readonly children: ComponentChildren;
}) {
  const bar = useRef<HTMLElement>(null);
  useEffect(() => {
    bar.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [props.open]);
  return (
    <nav ref={bar} class="tabs" aria-label={props.label}>
      {props.children}
    </nav>
  );
}

/** A dialog of the browser: it holds the focus, and Escape closes it. */
export function Dialog(props: {
  readonly title: string;
  readonly close: () => void;
  readonly wide?: boolean;
  readonly children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} class={props.wide ? 'wide' : ''} aria-label={props.title} onClose={props.close}>
      <div class="stack">
        <h2>{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}

/** Offers a text or bytes as a file. */
export function download(name: string, parts: readonly BlobPart[], type: string): void {
  const address = URL.createObjectURL(new Blob([...parts], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const icons = {
  overview: 'M3 12h4l3-8 4 16 3-8h4',
  devices: 'M4 5h16v10H4zM9 20h6M12 15v5',
  start: 'M5 4l14 8-14 8z',
} as const;

export function Icon({ name }: { readonly name: keyof typeof icons }) {
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true">
      <path d={icons[name]} />
    </svg>
  );
}
