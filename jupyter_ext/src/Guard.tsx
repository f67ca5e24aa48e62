// Where drawing fails, a sentence and a way on.
import { Component, ReactNode } from 'react';

/** A view that cannot be drawn takes nothing else with it. */
export class Guard extends Component<{ children: ReactNode }, { problem: string }> {
  state = { problem: '' };
  static getDerivedStateFromError(error: unknown): { problem: string } {
    return { problem: String(error) };
  }
  render(): ReactNode {
    return this.state.problem ? (
      <p className="agk-error agk-pane" role="alert">
        This view cannot be drawn: {this.state.problem}. <button type="button" onClick={() => this.setState({ problem: '' })}>Try again</button>
      </p>
    ) : (
      this.props.children
    );
  }
}
