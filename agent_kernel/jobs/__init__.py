"""Dispatch of runs: a queue with limits, takeover of what dead workers left, and schedules."""
