#!/usr/bin/env bash
# Prepares a workspace for the agent: folders, a README, scripts on the PATH.
# Safe to run twice, and after a run that was interrupted: each step looks before it acts.
set -euo pipefail

WORKSPACE="${1:-${WORKSPACE:-/workspace}}"
SCRIPTS="${SKILL_SCRIPTS:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/skill-scripts}"
PROFILE="${HOME:-/tmp}/.agent-kernel-profile"

mkdir -p "$WORKSPACE"/{data,results,temp,notebooks,skill-scripts}

if [ -d "$SCRIPTS" ]; then
    for script in "$SCRIPTS"/*; do
        [ -f "$script" ] || continue
        target="$WORKSPACE/skill-scripts/$(basename "$script")"
        [ -e "$target" ] || { cp "$script" "$target.part" && mv "$target.part" "$target"; }
    done
fi

if [ ! -e "$WORKSPACE/README.md" ]; then
    cat >"$WORKSPACE/README.md.part" <<'TEXT'
# Workspace

- `data/` what came in
- `results/` what the agent made
- `temp/` may be deleted at any time
- `notebooks/` notebooks
- `skill-scripts/` scripts the agent uses
TEXT
    mv "$WORKSPACE/README.md.part" "$WORKSPACE/README.md"
fi

line="export PATH=\"$WORKSPACE/skill-scripts:\$PATH\""
touch "$PROFILE"
grep -qxF "$line" "$PROFILE" || printf '%s\n' "$line" >>"$PROFILE"
