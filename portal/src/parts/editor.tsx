/** A place for the JSON editor, which is loaded when it is first shown. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { OpenEditor } from './json-editor.ts';
import { Failure } from './words.tsx';

export function Editor(props: {
  readonly label: string;
  readonly text: string;
  readonly changed: (text: string) => void;
}) {
  const { label, text, changed } = props;
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<OpenEditor>(undefined);
  const [error, setError] = useState<unknown>();
  const current = useRef({ text, changed });
  current.current = { text, changed };
  useEffect(() => {
    let isGone = false;
    import('./json-editor.ts').then(
      ({ openEditor }) => {
        if (isGone || place.current === null) return;
        editor.current = openEditor(place.current, current.current.text, label, (next) =>
          current.current.changed(next),
        );
      },
      (caught: unknown) => setError(caught),
    );
    return () => {
      isGone = true;
      editor.current?.close();
    };
  }, [label]);
  useEffect(() => editor.current?.setText(text), [text]);
  return (
    <>
      <Failure error={error} />
      <div ref={place} class="editor" />
    </>
  );
}
