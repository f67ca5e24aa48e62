// Server-sent events out of pieces of text, cut wherever the network likes.
export interface Sent {
  event: string;
  data: string;
}

export class SseParser {
  private rest = '';
  private event = '';
  private data: string[] = [];

  /** The messages that `text` completes. */
  take(text: string): Sent[] {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    const sent: Sent[] = [];
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line.startsWith('data:')) {
        this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
      } else if (line.startsWith('event:')) {
        this.event = line.slice(6).trim();
      } else if (line === '') {
        if (this.data.length) {
          sent.push({ event: this.event, data: this.data.join('\n') });
        }
        this.event = '';
        this.data = [];
      }
    }
    return sent;
  }
}
