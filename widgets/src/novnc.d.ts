// The part of noVNC that is used; it brings no types.
declare module '@novnc/novnc' {
  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, url: string, options?: { shared?: boolean; wsProtocols?: string[] });
    viewOnly: boolean;
    scaleViewport: boolean;
    showDotCursor: boolean;
    focusOnClick: boolean;
    background: string;
    focus(): void;
  }
}
