"""Writes, flushes and reads an export over NBD with libnbd, as told line by line on standard input.

  w BLOCK VERSION   write a stamped 4 KiB block          → w BLOCK VERSION
  f                 flush                                 → f
  r BLOCK COUNT     read blocks                           → r BLOCK V V V …   (-1: not a stamped block of this place; 0: zeros)

An answer is printed only when the server has acknowledged. Python because libnbd is a client that we did not write.
"""

import hashlib
import sys

import nbd

BLOCK = 4096


def stamp(block, version):
    if version == 0:
        return bytes(BLOCK)
    head = b"%016d%016d" % (block, version)
    seed = hashlib.sha256(head).digest()
    return head + (seed * (BLOCK // len(seed)))[: BLOCK - len(head)]


def version_of(block, content):
    if content == bytes(BLOCK):
        return 0
    try:
        found, version = int(content[:16]), int(content[16:32])
    except ValueError:
        return -1
    return version if found == block and content == stamp(block, version) else -1


def main():
    handle = nbd.NBD()
    handle.connect_uri(sys.argv[1])
    print("ready", handle.get_size(), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "w":
            block, version = int(words[1]), int(words[2])
            handle.pwrite(stamp(block, version), block * BLOCK)
            print("w", block, version, flush=True)
        elif words[0] == "f":
            handle.flush()
            print("f", flush=True)
        elif words[0] == "r":
            block, count = int(words[1]), int(words[2])
            content = handle.pread(count * BLOCK, block * BLOCK)
            versions = [version_of(block + i, bytes(content[i * BLOCK : (i + 1) * BLOCK])) for i in range(count)]
            print("r", block, *versions, flush=True)


main()
