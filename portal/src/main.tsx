import './styles/base.css';
import './styles/parts.css';
import './styles/screens.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { startPreferences } from './preferences.ts';
import { startRouter } from './router.ts';
import { startSession, watchSession } from './session.ts';

startPreferences();
startRouter();
watchSession();
void startSession();
render(<App />, document.getElementById('app') as HTMLElement);
