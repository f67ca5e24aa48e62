// The page that shows a sandbox's desktop: served from inside, in an origin of its own. `view_only=0` lets people act.
import RFB from '@novnc/novnc';

const said = document.getElementById('said') as HTMLElement;
const screen = document.getElementById('screen') as HTMLElement;
const acting = new URLSearchParams(location.search).get('view_only') === '0';
let tries = 0;

function connect(): void {
  const place = new URL('websockify', location.href);
  place.protocol = place.protocol === 'https:' ? 'wss:' : 'ws:';
  const rfb = new RFB(screen, place.href, { shared: true, wsProtocols: ['binary'] });
  rfb.viewOnly = !acting;
  rfb.scaleViewport = true;
  rfb.showDotCursor = acting;
  rfb.focusOnClick = acting;
  rfb.background = 'transparent';
  rfb.addEventListener('connect', () => {
    tries = 0;
    said.hidden = true;
    document.body.dataset['state'] = 'connected';
    if (acting) {
      rfb.focus();
    }
  });
  rfb.addEventListener('disconnect', () => {
    said.hidden = false;
    screen.replaceChildren();
    document.body.dataset['state'] = 'gone';
    tries += 1;
    said.textContent = tries > 20 ? 'The desktop has ended.' : 'Connecting to the desktop …';
    if (tries <= 20) {
      window.setTimeout(connect, Math.min(4_000, 150 * 2 ** tries));
    }
  });
}

connect();
