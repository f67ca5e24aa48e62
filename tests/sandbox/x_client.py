"""A program with a window, in the X protocol itself: writes what it is told by mouse and keyboard, a line each.

`python3 x_client.py FILE` on the screen of DISPLAY. Text is what the keys mean without a keyboard layout's extras.
"""

import os
import socket
import struct
import sys

CREATE, MAP, KEYMAP, FOCUS = 1, 8, 101, 42
KEY_PRESS, BUTTON_PRESS = 2, 4
MASK = 1 << 0 | 1 << 2 | 1 << 17  # keys, buttons, that it is shown


def receive(screen: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = screen.recv(size - len(data))
        if not piece:
            sys.exit("the screen hung up")
        data += piece
    return data


def main(place: str) -> None:
    screen = socket.socket(socket.AF_UNIX)
    screen.connect("/tmp/.X11-unix/X" + os.environ["DISPLAY"].strip(":").split(".")[0])
    screen.sendall(struct.pack("<BxHHHHxx", 0x6C, 11, 0, 0, 0))
    head = receive(screen, 8)
    about = receive(screen, struct.unpack("<H", head[6:])[0] * 4)
    base, vendor = struct.unpack("<I", about[4:8])[0], struct.unpack("<H", about[16:18])[0]
    at = 32 + (vendor + 3) // 4 * 4 + 8 * about[21]
    (root,) = struct.unpack("<I", about[at : at + 4])
    low, high = about[26], about[27]
    window = base | 1
    screen.sendall(
        struct.pack("<BBHIIhhHHHHIII", CREATE, 0, 9, window, root, 0, 0, 1000, 700, 0, 1, 0, 0x800, MASK)
    )
    screen.sendall(struct.pack("<BxHI", MAP, 2, window))
    screen.sendall(struct.pack("<BxHBBxx", KEYMAP, 2, low, high - low + 1))
    with open(place, "w", buffering=1) as file:
        names: dict[int, tuple[int, ...]] = {}
        while True:
            event = receive(screen, 32)
            code = event[0] & 127
            if code == 1:  # the answer about the keyboard
                each = event[1]
                data = receive(screen, struct.unpack("<I", event[4:8])[0] * 4)
                for index in range(high - low + 1):
                    names[low + index] = struct.unpack_from(f"<{each}I", data, index * each * 4)
            elif code == 19:
                screen.sendall(struct.pack("<BBHII", FOCUS, 1, 3, window, 0))
                print("shown", file=file)
            elif code == BUTTON_PRESS:
                x, y = struct.unpack("<hh", event[20:24])
                print("button", event[1], x, y, file=file)
            elif code == KEY_PRESS:
                (state,) = struct.unpack("<H", event[28:30])
                symbol = names[event[1]][state & 1]
                print(
                    "key",
                    chr(symbol) if 32 <= symbol < 127 else hex(symbol),
                    *(["ctrl"] if state & 4 else []),
                    file=file,
                )


if __name__ == "__main__":
    main(sys.argv[1])
