/** The frame around every screen: where one can go, who is logged in, and what is wrong. */
import { useEffect, useRef } from 'preact/hooks';
import iconAddress from './icon.svg';
import { Icon } from './parts/controls.tsx';
import { Jump } from './parts/jump.tsx';
import { Empty } from './parts/words.tsx';
import { type Theme, theme, type Zone, zone } from './preferences.ts';
import { usePlace } from './router.ts';
import { Device } from './screens/device.tsx';
import { Devices } from './screens/devices.tsx';
import { Login } from './screens/login.tsx';
import { Overview } from './screens/overview.tsx';
import { Start } from './screens/start.tsx';
import { logOut, sessionState, useSession } from './session.ts';
import { useStore } from './store.ts';
import { streamState } from './stream.ts';
import { plainText } from './text.ts';

const screens = [
  { path: '/', name: 'Overview', icon: 'overview', isOf: (path: string) => path === '/' },
  { path: '/devices', name: 'Devices', icon: 'devices', isOf: (path: string) => /^\/device/.test(path) },
  { path: '/first-run', name: 'Connect a device', icon: 'start', isOf: (path: string) => path === '/first-run' },
] as const;

const goals = screens.map(({ name, path }) => ({ name, address: path }));

export function App() {
  const state = useStore(sessionState);
  if (state.kind === 'loading') return <p class="loading quiet">Asking the hub …</p>;
  if (state.kind === 'none') return <Login why={state.why} />;
  return <Shell />;
}

function Shell() {
  const { path, query } = usePlace();
  const session = useSession();
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const deviceId = path === '/device' ? (query.get('id') ?? '') : undefined;
  useEffect(() => {
    const name = screens.find(({ isOf }) => isOf(path))?.name ?? 'Not found';
    document.title = `${deviceId === undefined ? name : plainText(deviceId)} · ${plainText(session.hubName)} · Mooring`;
    // A reader of the screen is told of the new one; at the first the browser does that.
    if (!isFirst.current) main.current?.querySelector('h1')?.focus();
    isFirst.current = false;
  }, [path, deviceId]);
  return (
    <div class="shell">
      <header class="side">
        <a class="brand" href="/">
          <img src={iconAddress} alt="" />
          <span>
            Mooring <small>{session.hubName}</small>
          </span>
        </a>
        <Jump screens={goals} />
        <nav aria-label="Screens">
          {screens.map((screen) => (
            <a key={screen.path} href={screen.path} aria-current={screen.isOf(path) ? 'page' : undefined}>
              <Icon name={screen.icon} />
              {screen.name}
            </a>
          ))}
        </nav>
        <Foot />
      </header>
      <div>
        <Connection />
        <main ref={main}>{screenOf(path, query)}</main>
      </div>
    </div>
  );
}

function screenOf(path: string, query: URLSearchParams) {
  if (path === '/') return <Overview />;
  if (path === '/devices') return <Devices />;
  if (path === '/first-run') return <Start />;
  if (path === '/device') return <Device key={query.get('id') ?? ''} id={query.get('id') ?? ''} />;
  return (
    <>
      <h1 tabIndex={-1}>Not found</h1>
      <Empty title="There is no screen at this address">
        <a href="/">Go to the overview</a>
      </Empty>
    </>
  );
}

function Connection() {
  const state = useStore(streamState);
  return (
    <div role="status">
      {state === 'lost' && (
        <p class="banner">
          The live connection to the hub is lost. What you see may be old; this page tries again by itself.
        </p>
      )}
    </div>
  );
}

function Foot() {
  const session = useSession();
  const [look, where] = [useStore(theme), useStore(zone)];
  return (
    <div class="side-foot">
      <label>
        <span>Time</span>
        <select aria-label="Time" value={where} onChange={(event) => zone.set(event.currentTarget.value as Zone)}>
          <option value="local">local</option>
          <option value="utc">UTC</option>
        </select>
      </label>
      <label>
        <span>Colours</span>
        <select aria-label="Colours" value={look} onChange={(event) => theme.set(event.currentTarget.value as Theme)}>
          <option value="auto">auto</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
      <span class="who quiet">
        {session.policyName} · {session.version}
      </span>
      <button type="button" class="tiny" onClick={() => void logOut()}>
        Log out
      </button>
    </div>
  );
}
