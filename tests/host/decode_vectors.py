#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Instructions with what the GNU toolchain says about them, for test_decode.c.

Two sources: assembly text given to `as` (the assembler chooses the bytes and says
the length), and encodings enumerated here, legal or not (objdump says the length).
In both cases objdump says what the bytes mean. One line per instruction on stdout:

    mode bytes verdict length text

mode     16, 32, 64
bytes    hex: the instruction and what follows it, at least 15 bytes
verdict  must   the decoder has to know it
         may    it may be unknown to the decoder; if it is known, length and text hold
         no     not an instruction, or not one that the decoder may claim to know
text     objdump's, normalised as said at normalise()

The seed is fixed: the same toolchain gives the same lines.
"""
import random
import re
import subprocess
import sys
import tempfile

MACHINE = {16: "i8086", 32: "i386", 64: "i386:x86-64"}
SLOT = 32
NOP = b"\x90"

ARITHMETIC = "add or adc sbb and sub xor cmp test".split()
BITS = "bt bts btr btc".split()
WITH_MEMORY = set(ARITHMETIC + BITS + "inc dec not neg xadd cmpxchg xchg mov movnti movzx movsx "
                  "movs stos lods ins outs smsw lmsw invlpg".split())
ALONE = set("in out int int1 int3 into hlt pause cpuid rdmsr wrmsr rdtsc rdtscp rdpmc xsetbv invd "
            "wbinvd monitor mwait vmcall vmmcall vmgexit clts".split())
STRING = set("movs stos lods ins outs".split())
# SDM Vol 2, LOCK: "can be prepended only to the following instructions and only to those
# forms of the instructions where the destination operand is a memory operand"
LOCKABLE = set("add adc and btc btr bts cmpxchg cmpxchg8b cmpxchg16b dec inc neg not or sbb sub "
               "xor xadd xchg".split())
PREFIX_WORDS = set("data16 data32 addr16 addr32 cs ds es ss fs gs bnd notrack xacquire xrelease rep "
                   "repz repnz".split())
SIZES = {"al": "BYTE", "ax": "WORD", "eax": "DWORD", "rax": "QWORD"}


def is_prefix_word(word):
    return word in PREFIX_WORDS or word == "lock" or re.fullmatch(r"rex(\.[WRXB]+)?", word)


def absolute(mode, sign, digits, bits):
    value = int(digits, 16)
    return "0x%x" % ((-value if sign == "-" else value) % (1 << bits))


def normalise(text, mode):
    """objdump's text without what is not the instruction's meaning.

    Redundant prefixes go (rep stays on strings, lock stays); segments without effect in
    64-bit mode go; an absolute address is in brackets; the pseudo-registers eiz and riz
    go; movabs, movnti and mov are one, as are movsxd and movsx; operands that an instruction implies are not written."""
    text = re.sub(r"\s*(#|<).*", "", text).strip()
    words = text.split()
    prefixes = []
    while words and is_prefix_word(words[0]):
        prefixes.append(words.pop(0))
    if not words:
        return None, "", prefixes
    name, operands = words[0], " ".join(words[1:])
    if name in ("movabs", "movnti"):
        name = "mov"
    if name == "wbnoinvd":
        name = "wbinvd"
    if name == "movsxd":
        name = "movsx"
    if name in ("monitor", "mwait"):
        operands = ""
    if name not in STRING:
        # a prefix that names the segment which the address has anyway
        operands = re.sub(r"\bss:(\[e?[bs]p[]+-])", r"\1", operands)
        operands = re.sub(r"\bds:(\[(?!e?[bs]p[]+-]|[er]iz))", r"\1", operands)
    operands = re.sub(r"\*1(?=[]+-])", "", operands)
    operands = re.sub(r"(?<=\w)\+0x0\]", "]", operands) if "ip+" not in operands else operands
    operands = re.sub(r"\+[er]iz(\*\d)?", "", operands)
    operands = re.sub(r"\[eiz(?:\*\d)?([+-])0x([0-9a-f]+)\]",
                      lambda m: "ds:" + absolute(mode, m[1], m[2], 32), operands)
    operands = re.sub(r"\[riz(?:\*\d)?([+-])0x([0-9a-f]+)\]",
                      lambda m: "ds:" + absolute(mode, m[1], m[2], 64), operands)
    operands = re.sub(r"\b([cdefgs]s):(0x[0-9a-f]+)", r"\1:[\2]", operands)
    if name == "mov":
        # moffs: objdump leaves the size to the register
        operands = re.sub(r"^(al|ax|eax|rax),([cdefgs]s:\[0x)",
                          lambda m: "%s,%s PTR %s" % (m[1], SIZES[m[1]], m[2]), operands)
        operands = re.sub(r"^([cdefgs]s:\[0x[0-9a-f]+\]),(al|ax|eax|rax)$",
                          lambda m: "%s PTR %s,%s" % (SIZES[m[2]], m[1], m[2]), operands)
    if name == "invlpg":
        operands = operands.replace("BYTE PTR ", "")
    if mode == 64:
        operands = re.sub(r"\b[cdes]s:\[", "[", operands)
    operands = re.sub(r"\bdb(?=\d)", "dr", operands)
    shown = "%s %s" % (name, operands) if operands else name
    if name in STRING:
        for word in reversed(prefixes):
            if word.startswith("rep"):
                shown = ("repnz " if word == "repnz" else "rep ") + shown
                break
    if "lock" in prefixes:
        shown = "lock " + shown
    return name, shown, prefixes


def verdict_of(name, shown, prefixes):
    operands = shown.split(name, 1)[1].strip() if name in shown else ""
    destination = operands.split(",")[0]
    special = re.search(r"\b([cdt]r)(\d+)", operands)
    if special:
        if special[1] == "tr":
            return "no"
        if special[1] == "dr":
            return "no" if int(special[2]) > 7 or "lock" in prefixes else "must"
        if int(special[2]) not in (0, 2, 3, 4, 8):
            return "no"
        return "no" if "lock" in prefixes else "must"
    if "lock" in prefixes and not (name in LOCKABLE and "[" in destination):
        return "no"
    if name in ALONE:
        return "must"
    if name not in WITH_MEMORY:
        return "no"
    if re.search(r"(^|,)[cdefgs]s$|(^|,)[cdefgs]s,", operands):
        return "no"  # mov from or to a segment register
    if "[" in operands or name in ("smsw", "lmsw"):
        return "must"
    return "may"


def disassemble(image, mode):
    """{address: [(length, text)...]} for each slot: the lines that belong to its first
    instruction."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(image)
        file.flush()
        out = subprocess.run(["objdump", "-D", "-z", "-w", "-b", "binary", "-M",
                              "intel,intel64", "-m",
                              MACHINE[mode], file.name], check=True, capture_output=True,
                             text=True).stdout
    slots = {}
    open_slot = None
    for line in out.splitlines():
        fields = line.split("\t")
        if len(fields) < 2 or not fields[0].endswith(":"):
            continue
        address = int(fields[0][:-1], 16)
        length = len(fields[1].split())
        text = fields[2] if len(fields) > 2 else ""
        if address % SLOT == 0:
            open_slot = slots.setdefault(address, [])
        elif open_slot is None:
            continue
        open_slot.append((length, text))
        if not all(is_prefix_word(word) for word in text.split()):
            open_slot = None
    return slots


class Vectors:
    def __init__(self, mode):
        self.mode = mode
        self.cases = []  # (bytes shown to the decoder, bytes shown to objdump, length or None)

    def add(self, code, shown=None, length=None):
        self.cases.append((code, shown if shown is not None else code, length))

    def emit(self):
        image = b"".join(shown[:SLOT - 15].ljust(SLOT, NOP) for _, shown, _ in self.cases)
        slots = disassemble(image, self.mode)
        for i, (code, shown, assembler_length) in enumerate(self.cases):
            lines = slots.get(i * SLOT)
            if not lines:
                raise SystemExit("objdump lost its way at slot %d, mode %d" % (i, self.mode))
            if len(lines) > 1:
                continue  # split at a prefix: objdump did not see one instruction
            length, text = lines[0]
            length += len(code) - len(shown)
            if assembler_length is not None and length != assembler_length:
                raise SystemExit("as and objdump disagree: %s %s" % (code.hex(), text))
            self.emit_one(code.ljust(24, NOP), length, text, assembler_length is not None)

    def emit_one(self, code, length, text, from_assembler):
        name, shown, prefixes = normalise(text, self.mode)
        if name is None:
            return
        if self.mode == 64 and re.fullmatch(r"lock mov (r\w+,cr0|cr0,r\w+)", shown):
            # AMD APM Vol 3, MOV CRn: in all modes; objdump shows it outside 64-bit mode only
            shown = shown.replace("lock ", "").replace("cr0", "cr8")
            prefixes = []
        if "(bad)" in text or "?" in text or length > 15:
            verdict = "no"
        else:
            verdict = verdict_of(name, shown, prefixes)
        if name == "pause" and any(word.startswith("rex") and "B" in word for word in prefixes):
            verdict = "no"  # XCHG R8,rAX with a REP that is ignored
        if from_assembler and verdict != "must":
            raise SystemExit("a test of nothing: " + text)
        print(self.mode, code.hex(), verdict, length, shown)


# ---- assembly text -------------------------------------------------------------------

REGISTERS = {
    16: {1: "al cl dl bl ah ch dh bh", 2: "ax cx dx bx sp bp si di",
         4: "eax ecx edx ebx esp ebp esi edi"},
    64: {1: "al cl dl bl spl bpl sil dil r8b r9b r12b r13b r15b",
         2: "ax cx dx bx sp bp si di r8w r12w r13w",
         4: "eax ecx edx ebx esp ebp esi edi r8d r12d r13d r15d",
         8: "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r12 r13 r15"},
}
REGISTERS[32] = REGISTERS[16]
REGISTERS = {m: {s: r.split() for s, r in sizes.items()} for m, sizes in REGISTERS.items()}
POINTER = {1: "byte ptr", 2: "word ptr", 4: "dword ptr", 8: "qword ptr"}
SUFFIX = {1: "b", 2: "w", 4: "d", 8: "q"}


def addresses(mode):
    forms = []
    for base in REGISTERS[32][4] if mode != 64 else REGISTERS[64][8]:
        forms += ["[%s]" % base, "[%s+0x7f]" % base, "[%s-0x12345]" % base]
        for index, scale in (("bp", 1), ("ax", 2), ("si", 4), ("bx", 8)):
            forms.append("[%s+%s%s*%d-0x80]" % (base, "r" if mode == 64 else "e", index, scale))
    if mode == 64:
        forms += ["[rip+0x1234]", "[rip-8]", "[eip+0x1234]", "[r12+r13*4]", "[r13+r12*8+0x1000]",
                  "[esi+edi*2]", "[r8d-4]", "fs:[rax]", "gs:[rsp+8]", "fs:0x28", "ds:0x12345678",
                  "[rcx*8+0x20]", "[r15*2-0x20]", "gs:[ecx]"]
    else:
        forms += ["[bx+si]", "[bx+di+5]", "[bp+si-5]", "[bp+di+0x1234]", "[si]", "[di-0x80]",
                  "[bp]", "[bx+0x80]", "ds:[0x1234]", "es:[bx]", "cs:[esi]", "ss:[di]", "fs:[bp]",
                  "gs:[eax*4+0x10]", "ds:[ebp]", "ss:[ebx]", "[ecx*8+0x20]"]
    return forms


def assembly(mode, rng):
    sizes = sorted(REGISTERS[mode])
    pick = lambda size: rng.choice(REGISTERS[mode][size])
    legacy = [r for r in "al cl dl bl ah ch dh bh".split()]
    text = []
    for address in addresses(mode):
        for size in sizes:
            memory = "%s %s" % (POINTER[size], address)
            immediate = {1: 0x7f, 2: 0x1234, 4: 0x12345678, 8: 0x12345678}[size]
            for name in ARITHMETIC + ["mov", "xchg", "xadd", "cmpxchg"]:
                text.append("%s %s,%s" % (name, memory, pick(size)))
                if name in ARITHMETIC[:-1] + ["mov"]:
                    text.append("%s %s,%s" % (name, pick(size), memory))
                if name in ARITHMETIC + ["mov"]:
                    text.append("%s %s,0x%x" % (name, memory, immediate))
                    text.append("%s %s,-1" % (name, memory))
            for name in "inc dec not neg".split():
                text.append("%s %s" % (name, memory))
            for name in "add or adc sbb and sub xor inc dec not neg".split():
                operand = "" if name in "inc dec not neg".split() else ",3"
                text.append("lock %s %s%s" % (name, memory, operand))
            for name in BITS if size > 1 else []:
                text.append("%s %s,%s" % (name, memory, pick(size)))
                text.append("%s %s,0x1d" % (name, memory))
            for name in "movzx movsx".split():
                for to in [s for s in sizes if s > size and size < 4]:
                    text.append("%s %s,%s" % (name, pick(to), memory))
            if mode == 64 and size == 4:
                text.append("movsxd %s,%s" % (pick(8), memory))
            if size >= 4:
                text.append("movnti %s,%s" % (memory, pick(size)))
            if size == 1 and "r" not in address:
                text.append("mov %s,%s" % (memory, rng.choice(legacy)))
                text.append("mov %s,%s" % (rng.choice(legacy), memory))
        text += ["smsw word ptr " + address, "lmsw word ptr " + address, "invlpg " + address]
    for size in sizes:
        s = SUFFIX[size]
        for name in ["movs", "stos", "lods"] + (["ins", "outs"] if size < 8 else []):
            text += [name + s, "rep " + name + s]
    for register, size in (("al", 1), ("ax", 2), ("eax", 4)):
        text += ["in %s,0x60" % register, "in %s,dx" % register, "out 0xf4,%s" % register,
                 "out dx,%s" % register, "mov %s,ds:[0x1234]" % register]
        if mode == 64:
            text += ["movabs %s,[0x1122334455667788]" % register,
                     "movabs fs:[0x8000000000],%s" % register]
    wide = REGISTERS[mode][8 if mode == 64 else 4]
    for register in wide:
        for control in (0, 2, 3, 4) + ((8,) if mode == 64 else ()):
            text += ["mov %s,cr%d" % (register, control), "mov cr%d,%s" % (control, register)]
        for debug in (0, 1, 2, 3, 6, 7):
            text += ["mov %s,dr%d" % (register, debug), "mov dr%d,%s" % (debug, register)]
    text += ("hlt;pause;cpuid;rdmsr;wrmsr;rdtsc;rdtscp;rdpmc;xsetbv;invd;wbinvd;wbnoinvd;monitor;"
             "mwait;vmcall;vmmcall;clts;int3;int 0x80;int 0x20;smsw ax;lmsw cx").split(";")
    text += ["into", "mov cr8,eax", "mov eax,cr8"] if mode != 64 else ["smsw rax", "smsw r9d"]
    return text


def assemble(mode, text):
    """[(bytes, length)] as the assembler has it."""
    source = [".intel_syntax noprefix", ".code%d" % mode]
    for line in text:
        source += ["1: " + line, "2: .p2align 5, 0x90", ".pushsection .length", ".byte 2b-1b",
                   ".popsection"]
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/a.s", "w") as file:
            file.write("\n".join(source) + "\n")
        subprocess.run(["as", "--64" if mode == 64 else "--32", "-o", folder + "/a.o",
                        folder + "/a.s"], check=True)
        for section in "text", "length":
            subprocess.run(["objcopy", "-O", "binary", "-j", "." + section, "--set-section-flags",
                            ".length=alloc", folder + "/a.o", folder + "/" + section], check=True)
        code = open(folder + "/text", "rb").read()
        lengths = open(folder + "/length", "rb").read()
    assert len(lengths) == len(text)
    return [(code[SLOT * i:SLOT * i + n], n) for i, n in enumerate(lengths)]


# ---- encodings -----------------------------------------------------------------------

LEGACY = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]
EVERY_MODRM = [b"\x8b", b"\x88", b"\x81", b"\xf7", b"\x0f\xb6", b"\x0f\x01", b"\x0f\xba", b"\x83"]


def prefixes(mode, rng):
    """(all prefix bytes, without the REX bytes that are not directly before the opcode)"""
    count = rng.choice((0, 0, 1, 1, 1, 2, 2, 3, 4, 6))
    legacy = [rng.choice(LEGACY) for _ in range(count)]
    if 0xf0 in legacy and rng.random() < 0.5:
        legacy = [p for p in legacy if p != 0xf0]
    everything = list(legacy)
    if mode == 64:
        if legacy and rng.random() < 0.2:
            everything.insert(rng.randrange(len(legacy)), rng.randrange(0x40, 0x50))
        if rng.random() < 0.5:
            rex = rng.randrange(0x40, 0x50)
            everything.append(rex)
            legacy.append(rex)
    return bytes(everything), bytes(legacy)


def encodings(mode, rng):
    opcodes = [bytes([i]) for i in range(256) if i != 0x0f and i not in LEGACY]
    opcodes += [bytes([0x0f, i]) for i in range(256)]
    if mode == 64:
        opcodes = [o for o in opcodes if not 0x40 <= o[0] <= 0x4f]
    for opcode in opcodes:
        for modrm in list(range(256)) * 2 if opcode in EVERY_MODRM else rng.sample(range(256), 26):
            soup, effective = prefixes(mode, rng)
            # the immediates' bytes are never prefixes of what follows: nothing follows
            rest = opcode + bytes([modrm]) + bytes(rng.randrange(256) for _ in range(9))
            if opcode == b"\x0f\x09" or (opcode == b"\x0f\x01" and modrm == 0xd9):
                # objdump takes 66 and F2 for part of the opcode here; processors ignore them
                ignored = {0x66} | ({0xf2} if opcode[1] == 0x09 else set())
                effective = bytes(p for p in effective if p not in ignored)
            if opcode == b"\x63" and mode == 64 and effective and effective[-1] & 0xf8 == 0x48:
                # REX.W makes 66 ineffective (SDM Vol 2, 2.2.1.2); objdump forgets it for MOVSXD
                effective = bytes(p for p in effective if p != 0x66)
            yield soup + rest, effective + rest


def main():
    total = 0
    for mode in (16, 32, 64):
        rng = random.Random(mode)
        vectors = Vectors(mode)
        for code, length in assemble(mode, assembly(mode, rng)):
            vectors.add(code, length=length)
        for code, shown in encodings(mode, rng):
            vectors.add(code, shown)
        for _ in range(4000):
            vectors.add(bytes(rng.randrange(256) for _ in range(15)))
        vectors.emit()
        total += len(vectors.cases)
    print("end", total)


if __name__ == "__main__":
    sys.exit(main())
