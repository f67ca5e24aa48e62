// The panel's sign: a prompt, and what comes of it. The class takes the theme's colour.
import { LabIcon } from '@jupyterlab/ui-components';

const SIGN =
  '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
  '<g class="jp-icon3" fill="#616161"><path d="M4 3h16a2 2 0 0 1 2 2v11a2 2 0 0 1-2 2h-8l-5 4v-4H4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm0 2v11h5v2l2.5-2H20V5H4z"/>' +
  '<path d="M6.6 7.4 8 6l4.5 4.5L8 15l-1.4-1.4 3.1-3.1zM13 13h5v2h-5z"/></g></svg>';

export const logo = new LabIcon({ name: 'agent-kernel:logo', svgstr: SIGN });
