import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ReactWidget } from '@jupyterlab/ui-components';
import { createElement } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'agent-kernel:panel', autoStart: true,
  activate: (app: JupyterFrontEnd) => { const w = ReactWidget.create(createElement(Icon, {name: 'bash'})); w.id = 'agk'; app.shell.add(w, 'right'); }
};
export default plugin;
