// Line icons of 16 × 16, drawn in the text's colour.
const PATHS: Record<string, string> = {
  bash: 'M3 4l4 4-4 4M8.5 12H13',
  python: 'M5.5 4.5L2 8l3.5 3.5M10.5 4.5L14 8l-3.5 3.5',
  notebook_python: 'M4 2h8v12H4zM6.5 5h3M6.5 8h3M4 2v12',
  notebook_read: 'M4 2h8v12H4zM4 2v12M6.5 5h3M6.5 8h3M6.5 11h2',
  notebook_edit: 'M4 2h8v5M4 2v12h3M6.5 5h3M6.5 8h1.5M9 14l.5-2L13 8.5l1.5 1.5-3.5 3.5z',
  notebook_run: 'M4 2h8v5M4 2v12h4M10 9l4 2.5-4 2.5z',
  agent: 'M8 2.5l1.4 3.6L13 7.5 9.4 8.9 8 12.5 6.6 8.9 3 7.5l3.6-1.4zM13 11.5v2.5M11.75 12.75h2.5',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  notebook_variables: 'M4 2h8v12H4zM4 2v12M6.5 6.5l3.5 3.5M10 6.5L6.5 10',
  notebook_export: 'M9 2H4v12h5M7 8h7M11 5l3 3-3 3',
  notebook_import: 'M7 2h5v12H7M10 8H2M6 5L3 8l3 3',
  read_file: 'M4 2h5l3 3v9H4zM9 2v3h3',
  write_file: 'M4 2h5l3 3v9H4zM8 7v4M6 9h4',
  edit_file: 'M3 13l1-3 7-7 2 2-7 7zM9.5 4.5l2 2',
  list_files: 'M2 4h4l1.5 2H14v7H2z',
  search_files: 'M7 3a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM10 10l4 4',
  web_fetch: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM2 8h12M8 2c4 4 4 8 0 12M8 2c-4 4-4 8 0 12',
  web_search: 'M7 3a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM10 10l4 4',
  todo: 'M3 4l1 1 2-2M3 9l1 1 2-2M8 4.5h5M8 9.5h5',
  skill: 'M8 4.5C6.5 3.3 4.5 3 2 3v9c2.5 0 4.5.3 6 1.5M8 4.5C9.5 3.3 11.5 3 14 3v9c-2.5 0-4.5.3-6 1.5zM8 4.5v9',
  thought: 'M8 2a5 5 0 0 1 3 9v1.5H5V11a5 5 0 0 1 3-9zM6 14.5h4',
  shield: 'M8 2l5 2v4c0 3-2 5-5 6-3-1-5-3-5-6V4z',
  stop: 'M4 4h8v8H4z',
  pause: 'M5 3.5v9M11 3.5v9',
  play: 'M5 3l8 5-8 5z',
  send: 'M8 13V3M4 7l4-4 4 4',
  warning: 'M8 2.5l6 11H2zM8 6.5v3.5M8 12v.5',
  back: 'M10 3L5 8l5 5',
  plus: 'M8 3v10M3 8h10',
  search: 'M7 3a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM10 10l4 4',
  chat: 'M2.5 3.5h11v7H7l-3 2.5v-2.5H2.5z',
  tools: 'M3 4l4 4-4 4M8.5 12H13',
  files: 'M4 2h5l3 3v9H4zM9 2v3h3',
  preview: 'M2 3.5h12v9H2zM2 6h12',
  trace: 'M2 4h5M5 8h6M9 12h5',
  context: 'M3 13V9M8 13V3M13 13V6',
  undo: 'M3 6h6.5a3.5 3.5 0 0 1 0 7H6M5.5 3.5L3 6l2.5 2.5',
  retry: 'M13 8a5 5 0 1 1-1.5-3.5L13 6M13 3v3h-3',
  trash: 'M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.5 9h6l.5-9',
  download: 'M8 2.5v8M4.5 7.5L8 11l3.5-3.5M3 13.5h10',
  open: 'M6 3H3v10h10v-3M9 3h4v4M13 3L7.5 8.5',
  folder: 'M2 4h4l1.5 2H14v7H2z',
  clip: 'M11.5 7.5l-4 4a2.5 2.5 0 0 1-3.5-3.5l5-5a1.8 1.8 0 0 1 2.5 2.5l-5 5',
  settings: 'M2 5h6M11.5 5H14M9.7 3.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4zM2 11h2.5M8 11h6M6.3 9.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4z',
  close: 'M4 4l8 8M12 4l-8 8',
  stepback: 'M11.5 3.5v9L5.5 8zM4 3.5v9',
  stepforward: 'M4.5 3.5v9l6-4.5zM12 3.5v9',
  replay: 'M8 3a5 5 0 1 1-4.6 3M3 2.5v3.6h3.6M7 5.8l3.2 2.2L7 10.2z',
  fork: 'M5 3v10M5 10c0-4 6-2 6-6M3.5 3a1.5 1.5 0 1 0 3 0 1.5 1.5 0 1 0-3 0M9.5 3a1.5 1.5 0 1 0 3 0 1.5 1.5 0 1 0-3 0',
  phone: 'M5 2h6v12H5zM7.5 12h1',
  tablet: 'M3.5 2h9v12h-9zM7.5 12h1',
  desktop: 'M2 3h12v8H2zM6 13.5h4M8 11v2.5'
};

export function Icon({ name }: { name: string }) {
  return (
    <svg className="agk-icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name] ?? 'M8 3v2M8 11v2M3 8h2M11 8h2M8 6a2 2 0 1 1 0 4 2 2 0 0 1 0-4z'} />
    </svg>
  );
}
