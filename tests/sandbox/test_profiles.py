"""What cannot be run on every machine, read instead: the system-call filters and the macOS profile."""

from __future__ import annotations

import struct

import pytest

from agent_kernel.sandbox import seatbelt
from agent_kernel.sandbox.seccomp import ALLOW, KILL, MACHINES, program

EPERM, ENOSYS, EAFNOSUPPORT = 0x50001, 0x50026, 0x50061
PRETENDED = 0x50000
UNIX, INET, PACKET, VSOCK = 1, 2, 17, 40


def judged(code: bytes, machine: str, number: int, *arguments: int) -> int:
    """What the kernel's interpreter would return for a call."""
    data = struct.pack("=IIQ6Q", number, MACHINES[machine].audit, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    instructions = list(struct.iter_unpack("=HBBI", code))
    at, loaded = 0, 0
    while True:
        operation, yes, no, value = instructions[at]
        at += 1
        if operation == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            holds = {0x15: loaded == value, 0x45: bool(loaded & value), 0x35: loaded >= value}[operation]
            at += yes if holds else no


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("strict", [False, True])
def test_every_call_of_the_lists_is_refused_and_others_pass(machine: str, strict: bool) -> None:
    kind, code = MACHINES[machine], program(machine, strict=strict)
    assert {judged(code, machine, number) for number in kind.denied.values()} == {EPERM}
    assert judged(code, machine, kind.checked["memfd_create"]) == ENOSYS
    assert judged(code, machine, kind.checked["clone3"]) == ENOSYS
    assert judged(code, machine, 9999) == ALLOW
    assert judged(code, "aarch64" if machine == "x86_64" else "x86_64", 9999) == KILL


def test_new_namespaces_are_refused_and_threads_pass(machine: str) -> None:
    code, clone = program(machine), MACHINES[machine].checked["clone"]
    assert judged(code, machine, clone, 0x10000000) == EPERM
    assert judged(code, machine, clone, 0x3D0F00) == ALLOW


@pytest.mark.parametrize(("family", "strict", "said"), [
    (INET, False, ALLOW), (UNIX, False, ALLOW), (VSOCK, False, EAFNOSUPPORT), (PACKET, False, EAFNOSUPPORT),
    (INET, True, EAFNOSUPPORT), (UNIX, True, EAFNOSUPPORT),
])  # fmt: skip
def test_kinds_of_sockets(machine: str, family: int, strict: bool, said: int) -> None:
    code, calls = program(machine, strict=strict), MACHINES[machine].checked
    assert judged(code, machine, calls["socket"], family) == said
    assert judged(code, machine, calls["socketpair"], UNIX) == ALLOW


@pytest.mark.parametrize("flags", [0o100, 0o20200000], ids=["O_CREAT", "O_TMPFILE"])
def test_files_are_not_made_set_uid(machine: str, flags: int) -> None:
    code, opened = program(machine), MACHINES[machine].checked["openat"]
    assert judged(code, machine, opened, 0, 0, flags, 0o4755) == EPERM
    assert judged(code, machine, opened, 0, 0, flags, 0o755) == ALLOW
    assert judged(code, machine, opened, 0, 0, 0, 0o4755) == ALLOW  # no file is made: the mode is not read


def test_without_namespaces_modes_only_seem_to_change_and_shared_memory_is_refused(machine: str) -> None:
    kind, code = MACHINES[machine], program(machine, strict=True)
    assert {judged(code, machine, number) for number in kind.pretended.values()} == {PRETENDED}
    assert {judged(code, machine, number) for number in kind.shared.values()} == {EPERM}
    assert judged(program(machine), machine, kind.shared["shmget"]) == ALLOW


def test_a_folders_name_is_no_rule_of_the_macos_profile() -> None:
    text = seatbelt.profile(['/w") (allow network*) ("'], ["/opt/python"])
    assert '(allow file-write* (subpath "/w\\") (allow network*) (\\""))' in text
    assert '(allow file-read* (subpath "/opt/python"))' in text
    assert text.startswith("(version 1)\n(deny default)\n")
