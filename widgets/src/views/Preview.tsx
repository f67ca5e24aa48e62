// What the agent serves, in a frame that reaches nothing of Jupyter.
export function Preview({ url }: { url: string }) {
  // Only the web and this server's own paths; and in an origin of its own, where it reads nothing of Jupyter.
  if (!/^(https?:\/\/|\/(?!\/))/i.test(url)) {
    return null;
  }
  return <iframe className="agk-preview" title="Live preview" src={url} sandbox="allow-scripts allow-forms" referrerPolicy="no-referrer" />;
}
