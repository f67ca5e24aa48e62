#!/usr/bin/env bash
# Installs what the system itself must have: `sandbox` (bubblewrap), `browser` (Chromium) and `desktop` (a screen).
# What cannot be installed is said, with the command that would do it.
set -u
BIN="$(cd "$(dirname "$0")/.." && pwd)/.venv/bin"

debian_package() {  # as root on Debian and its like
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "Installing Debian's packages: $* …"
    { apt-get install -y -qq "$@" || { apt-get update -qq && apt-get install -y -qq "$@"; }; } >/dev/null 2>&1
}

sandbox() {
    [ "$(uname -s)" = Linux ] || return 0  # macOS has its own
    command -v bwrap >/dev/null && return 0
    debian_package bubblewrap && return 0
    echo "bubblewrap is not installed. The agent's sandbox is weaker without it (agent-kernel doctor says how)."
    echo "Install it with: apt install bubblewrap   (Fedora: dnf install bubblewrap, Arch: pacman -S bubblewrap)"
}

browser() {
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return 0
    done
    debian_package chromium fonts-dejavu-core && return 0
    "$BIN/python" -m playwright install chromium && return 0
    echo "No Chromium for the browser tests. Install it with: apt install chromium"
    return 1
}

desktop() {
    [ "$(uname -s)" = Linux ] || return 0
    for name in Xvfb xdotool scrot x11vnc openbox; do
        command -v "$name" >/dev/null && continue
        debian_package --no-install-recommends xvfb xdotool scrot x11vnc openbox && return 0
        echo "No $name for the tests of the desktop. Install: apt install xvfb xdotool scrot x11vnc openbox"
        return 1
    done
}

for need in "$@"; do "$need" || exit 1; done
