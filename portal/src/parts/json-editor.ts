/**
 * The editor for JSON, loaded only where one is opened. It lives in a shadow root, where CodeMirror's styles need no exception of the
 * page's policy; errors are found in its own syntax tree, which knows their place.
 */
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { bracketMatching, HighlightStyle, syntaxHighlighting, syntaxTree } from '@codemirror/language';
import { type Diagnostic, linter, lintGutter, lintKeymap } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { ODD } from '../text.ts';

export interface OpenEditor {
  text(): string;
  setText(text: string): void;
  close(): void;
}

const LINT_MS = 200;
const FAULTS_MAX = 20;

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: 'var(--token-name)' },
  { tag: tags.string, color: 'var(--token-text)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--token-number)' },
]);

const look = EditorView.theme({
  '&': { color: 'var(--ink)', backgroundColor: 'var(--surface)', fontSize: '13px', height: '100%' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-content': { caretColor: 'var(--ink)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-gutters': { backgroundColor: 'var(--raised)', color: 'var(--quiet)', border: '0' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'transparent' },
  '&.cm-focused .cm-activeLineGutter': { color: 'var(--ink)' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': {
    backgroundColor: 'var(--accent-soft)',
  },
  '.cm-matchingBracket': { backgroundColor: 'var(--accent-soft)' },
  // The squiggle of the library is an image in the style, which the policy of the page does not load.
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--bad)' },
  '.cm-lint-marker-error': { content: '"✖"', color: 'var(--bad)', width: '1em' },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--ink)', border: '1px solid var(--line-strong)' },
});

function faultsOf(view: EditorView): Diagnostic[] {
  const { doc } = view.state;
  const found: Diagnostic[] = [];
  syntaxTree(view.state).iterate({
    enter({ type, from, to }) {
      if (!type.isError || found.length >= FAULTS_MAX) return;
      const end = Math.min(doc.length, Math.max(to, from + 1));
      const near = doc.sliceString(from, end).trim();
      const message = near === '' ? 'Something is missing here.' : `This is not expected here: ${near.slice(0, 20)}`;
      found.push({ from: Math.min(from, doc.length), to: end, severity: 'error', message });
    },
  });
  return found;
}

/**
 * Text put in the place of other text, by the editor itself. Left to the browser, it keeps the look of what was there by a `style` in the
 * line, and that the policy of the page refuses. What is selected is asked of the browser: the editor hears of it a moment later.
 */
function replaced(event: InputEvent, view: EditorView): boolean {
  const selection = document.getSelection();
  const [range] = selection?.getComposedRanges?.({ shadowRoots: [view.root as ShadowRoot] }) ?? [];
  if (event.inputType !== 'insertText' || event.isComposing || event.data === null || range === undefined) return false;
  const { startContainer, endContainer } = range;
  if (!view.contentDOM.contains(startContainer) || !view.contentDOM.contains(endContainer)) return false;
  const from = view.posAtDOM(startContainer, range.startOffset);
  const to = view.posAtDOM(endContainer, range.endOffset);
  if (from >= to) return false;
  event.preventDefault();
  view.dispatch({
    changes: { from, to, insert: event.data },
    selection: { anchor: from + event.data.length },
    userEvent: 'input.type',
    scrollIntoView: true,
  });
  return true;
}

/** @param changed hears of each change by the user */
export function openEditor(
  place: HTMLElement,
  first: string,
  label: string,
  changed: (text: string) => void,
): OpenEditor {
  const root = place.shadowRoot ?? place.attachShadow({ mode: 'open' });
  const inner = document.createElement('div');
  inner.style.height = '100%';
  root.replaceChildren(inner);
  const view = new EditorView({
    root,
    parent: inner,
    state: EditorState.create({
      doc: first,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        // Marks that turn the direction of text would show another JSON than is saved.
        highlightSpecialChars({ addSpecialChars: ODD }),
        highlightActiveLine(),
        bracketMatching(),
        json(),
        syntaxHighlighting(colours),
        linter(faultsOf, { delay: LINT_MS }),
        lintGutter(),
        EditorState.tabSize.of(2),
        EditorView.contentAttributes.of({ 'aria-label': label }),
        EditorView.domEventHandlers({ beforeinput: replaced }),
        keymap.of([...defaultKeymap, ...historyKeymap, ...lintKeymap, indentWithTab]),
        look,
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    setText(text) {
      if (text !== view.state.doc.toString()) {
        view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
      }
    },
    close: () => view.destroy(),
  };
}
