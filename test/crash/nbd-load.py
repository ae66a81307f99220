"""Drives NBD connections with libnbd as told, a JSON array a line on standard input; many requests in flight on each.

  ["open", ID, NAME, URI]                       connect
  ["close", ID, NAME]                           end the connection in order
  ["w", ID, NAME, OFFSET, LENGTH, VERSION, FUA] write stamped sectors
  ["z", ID, NAME, OFFSET, LENGTH, FUA, HOLE]    write zeroes; HOLE 0: without punching a hole
  ["t", ID, NAME, OFFSET, LENGTH, FUA]          trim
  ["f", ID, NAME]                               flush
  ["r", ID, NAME, OFFSET, LENGTH]               read

Each is answered once, in the order in which the server answers, by [ID, ERRNO] (0: acknowledged; a connection that ended:
107), a read by [ID, ERRNO, [COUNT, VERSION, COUNT, VERSION, …]] for its sectors (0: zeros; -1: not what was stamped there).
A sector of 512 bytes holds its number and the version of its write 32 times, so a torn or misplaced one shows.

Python, because libnbd is a client that this project did not write.
"""

import json
import os
import select
import struct
import sys

import nbd

SECTOR = 512
ZERO = bytes(SECTOR)
ENOTCONN = 107
STAMP = struct.Struct("<QQ")

connections = {}
out = []


def answer(*words):
    out.append(json.dumps(words, separators=(",", ":")))


def stamped(offset, length, version):
    first = offset // SECTOR
    return bytearray(b"".join(STAMP.pack(number, version) * 32 for number in range(first, first + length // SECTOR)))


def versions(offset, content):
    runs = []
    for at in range(0, len(content), SECTOR):
        sector = content[at : at + SECTOR]
        if sector == ZERO:
            version = 0
        else:
            number, version = STAMP.unpack_from(sector)
            if number != (offset + at) // SECTOR or sector != sector[:16] * 32:
                version = -1
        if runs and runs[-1] == version:
            runs[-2] += 1
        else:
            runs += [1, version]
    return runs


def submit(handle, op, ident, words):
    def done(error):
        answer(ident, error.value)
        return 1

    fua = nbd.CMD_FLAG_FUA
    if op == "w":
        offset, length, version, is_fua = words
        buffer = nbd.Buffer.from_bytearray(stamped(offset, length, version))
        handle.aio_pwrite(buffer, offset, done, fua if is_fua else 0)
    elif op == "z":
        offset, length, is_fua, hole = words
        handle.aio_zero(length, offset, done, (fua if is_fua else 0) | (0 if hole else nbd.CMD_FLAG_NO_HOLE))
    elif op == "t":
        offset, length, is_fua = words
        handle.aio_trim(length, offset, done, fua if is_fua else 0)
    elif op == "f":
        handle.aio_flush(done)
    elif op == "r":
        offset, length = words
        buffer = nbd.Buffer(length)

        def read(error):
            if error.value != 0:
                answer(ident, error.value)
            else:
                answer(ident, 0, versions(offset, bytes(buffer.to_bytearray())))
            return 1

        handle.aio_pread(buffer, offset, read)
    else:
        raise ValueError(op)


def carry_out(op, ident, name, *words):
    try:
        if op == "open":
            handle = nbd.NBD()
            handle.connect_uri(words[0])
            connections[name] = handle
            answer(ident, 0)
        elif op == "close":
            handle = connections.pop(name, None)
            if handle is not None and handle.aio_is_ready():
                handle.shutdown()
            answer(ident, 0)
        elif name not in connections:
            answer(ident, ENOTCONN)
        else:
            submit(connections[name], op, ident, words)
    except nbd.Error as error:
        answer(ident, error.errnum or ENOTCONN)


def serve(handle, events):
    try:
        direction = handle.aio_get_direction()
        if events & ~select.POLLOUT and direction & nbd.AIO_DIRECTION_READ:
            handle.aio_notify_read()
        elif events & select.POLLOUT and direction & nbd.AIO_DIRECTION_WRITE:
            handle.aio_notify_write()
        elif events & (select.POLLHUP | select.POLLERR):
            handle.aio_notify_read()
    except nbd.Error:
        pass  # The connection died; its requests were answered with an error.


def main():
    rest = b""
    while True:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        by_fd = {}
        for name, handle in list(connections.items()):
            if handle.aio_is_dead() or handle.aio_is_closed():
                del connections[name]
                continue
            fd, direction = handle.aio_get_fd(), handle.aio_get_direction()
            mask = (select.POLLIN if direction & nbd.AIO_DIRECTION_READ else 0) | (
                select.POLLOUT if direction & nbd.AIO_DIRECTION_WRITE else 0
            )
            poll.register(fd, mask)
            by_fd[fd] = handle
        for fd, events in poll.poll():
            if fd != 0:
                serve(by_fd[fd], events)
                continue
            piece = os.read(0, 1 << 20)
            if piece == b"":
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                carry_out(*json.loads(line))
        if out:
            os.write(1, ("\n".join(out) + "\n").encode())
            out.clear()


main()
