#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""gen_insns.py - turn compiled BPF objects into one C header.

usage: gen_insns.py OUTPUT.h NAME=OBJECT.o ...

The preloaded library may pull in libc only, so the programs travel as arrays of instructions with a
list of places where the loader writes a map descriptor. Each object holds exactly one program, and
names maps by undefined symbols. This script knows the symbols below and refuses everything else: a
call between sections, a second program, a map nobody creates.
"""
import struct
import sys

# Symbol -> (enumerator of bpf_sys.h, may be addressed as memory)
MAPS = {
    "steer_shared": ("STEER_FD_SHARED", True),
    "steer_flows": ("STEER_FD_FLOWS", False),
    "steer_addrs": ("STEER_FD_ADDRS", False),
    "steer_xsks": ("STEER_FD_XSKS", False),
}
EM_BPF, R_BPF_64_64 = 247, 1
SHT_PROGBITS, SHT_SYMTAB, SHT_REL = 1, 2, 9
SHF_EXECINSTR = 4
LD_IMM64 = 0x18


def fail(text):
    sys.exit(f"gen_insns.py: {text}")


class Elf:
    """Just enough of a 64-bit little-endian relocatable ELF file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            fail(f"{path}: not a 64-bit little-endian ELF file")
        machine, = struct.unpack_from("<H", self.data, 18)
        if machine != EM_BPF:
            fail(f"{path}: not a BPF object")
        offset, = struct.unpack_from("<Q", self.data, 40)
        size, count = struct.unpack_from("<HH", self.data, 58)
        # name, type, flags, address, offset, size, link, info, align, entry size
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, offset + i * size)
                         for i in range(count)]

    def content(self, section):
        return self.data[section[4]:section[4] + section[5]]

    def symbol_names(self):
        table = next(s for s in self.sections if s[1] == SHT_SYMTAB)
        strings = self.content(self.sections[table[6]])
        names = []
        for name, _, _, shndx, _, _ in struct.iter_unpack("<IBBHQQ", self.content(table)):
            text = strings[name:strings.index(b"\0", name)].decode()
            names.append(text if shndx == 0 else None)
        return names


def program(path):
    """Return (instructions as ints, [(index, enumerator, is_memory)])."""
    elf = Elf(path)
    code = [i for i, s in enumerate(elf.sections)
            if s[1] == SHT_PROGBITS and s[2] & SHF_EXECINSTR and s[5]]
    if len(code) != 1:
        fail(f"{path}: expected one program, found {len(code)}")
    text = elf.content(elf.sections[code[0]])
    insns = [v for v, in struct.iter_unpack("<Q", text)]
    names = elf.symbol_names()
    places = []
    for section in elf.sections:
        if section[1] != SHT_REL or section[7] != code[0]:
            continue
        for at, info in struct.iter_unpack("<QQ", elf.content(section)):
            symbol = names[info >> 32]
            if info & 0xffffffff != R_BPF_64_64 or symbol not in MAPS:
                fail(f"{path}: cannot place relocation at {at} to {symbol}")
            index = at // 8
            enumerator, memory = MAPS[symbol]
            if insns[index] & 0xff != LD_IMM64:
                fail(f"{path}: relocation at {at} is not a 64-bit load")
            if insns[index] >> 32 and not memory:
                fail(f"{path}: {symbol} is used with an offset")
            places.append((index, enumerator, memory))
    return insns, places


def emit(out, name, insns, places):
    out.write(f"static const uint64_t {name}_insns[] = {{\n")
    for i in range(0, len(insns), 4):
        out.write("\t" + " ".join(f"0x{v:016x}," for v in insns[i:i + 4]) + "\n")
    out.write("};\n\n")
    out.write(f"static const struct bpf_sys_place {name}_places[] = {{\n")
    for index, enumerator, memory in places:
        out.write(f"\t{{ {index}, {enumerator}, {'true' if memory else 'false'} }},\n")
    out.write("};\n\n")


def main(args):
    if len(args) < 2:
        fail("usage: gen_insns.py OUTPUT.h NAME=OBJECT.o ...")
    with open(args[0], "w", encoding="ascii") as out:
        out.write("/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n"
                  "/* Made by gen_insns.py at build time: the BPF programs and where they name maps. */\n"
                  "#ifndef FSOCK_STEER_STEER_INSNS_H\n#define FSOCK_STEER_STEER_INSNS_H\n\n"
                  "#include <stdint.h>\n\n#include \"steer/bpf_sys.h\"\n#include \"steer/steer.h\"\n\n")
        for arg in args[1:]:
            name, _, path = arg.partition("=")
            emit(out, name, *program(path))
        out.write("#endif\n")


main(sys.argv[1:])
