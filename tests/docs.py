#!/usr/bin/env python3
"""Compiles and runs the programs in Markdown files and compares what they print.

usage: docs.py [--update] BUILD_ROOT FILE...

A ```cpp block is a program if it has a main(), else statements of one, to be pasted as the documents tell their reader to:

    the prologue
    int main() {
    the block
    }

The prologue is the ```cpp prologue block, which every document with such statements shows, once, before the first of them and
alike in all. Nothing else is added, so that what compiles here compiles for the reader; an error's line is that in a file
program.cc of just this. All share one compilation; each runs in a process and a folder of its own. A ```sh run block is a script, which
finds the command `twofold` and runs where the document's programs with a main() and its scripts before this one have run. The ```text
block after a program or a script, before the next such block, is what it prints; without one it must only run. Each pair is a test case. --update writes the text blocks anew.

A link to a file, or to a heading of one, must lead to it; a source that is spoken of exists; what a numbered list says to be in a
file is there. Errors are shown whole, with op and line: a block that catches one prints its what(), not message().
"""
import os
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```(cpp prologue|cpp|sh run|text)\n(.*?)^```$", re.M | re.S)
MAIN = re.compile(r"\bmain\(")
failed = 0


def line_of(document, place):
    return document.count("\n", 0, place) + 1


def fail(where, complaint):
    global failed
    failed += 1
    print(f"{where}: {complaint}")


def anchors(path):
    """The names of a document's headings, as GitHub makes them."""
    with open(path) as file:
        text = re.sub(r"^```.*?^```$", "", file.read(), flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.M)}


def check_links(path, document):
    prose = re.sub(r"^```.*?^```$", lambda block: re.sub(r"[^\n]", " ", block.group()), document, flags=re.M | re.S)
    for link in re.finditer(r"\]\(([^()\s:]+)\)", prose):
        file, _, anchor = link.group(1).partition("#")
        target = os.path.join(os.path.dirname(path), file) if file else path
        if not os.path.exists(target):
            fail(f"{path}:{line_of(document, link.start())}", f"there is no {file}")
        elif anchor and anchor not in anchors(target):
            fail(f"{path}:{line_of(document, link.start())}", f"{file or 'the document'} has no heading {anchor}")


SOURCE = re.compile(r"(?<![\w/.-])(?:lib|graph|eager|session|kernels|tests|demos|packaging|tools)/[\w/.-]*\.(?:h|cc|cu|def|py|sh|build|log)\b")


def check_sources(path, document):
    """A source that is spoken of exists. kernels/foo is that of a lesson."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in SOURCE.finditer(document):
        if "/foo/" not in name.group() and not os.path.exists(os.path.join(root, name.group())):
            fail(f"{path}:{line_of(document, name.start())}", f"there is no {name.group()}")


def check_names(path, document):
    """A list's item "`name` in [file](file)", or "in the same file", names something that stands in that file."""
    file = None
    for item in re.finditer(r"^\d+\. `([^`]+)` in (?:\[[^]]*\]\(([^)]+)\)|the same file)", document, re.M):
        file = item.group(2) or file
        target = os.path.join(os.path.dirname(path), file)
        if os.path.exists(target):  # else check_links has said so
            with open(target) as source:
                if not re.search(rf"(?<!\w){re.escape(item.group(1))}(?!\w)", source.read()):
                    fail(f"{path}:{line_of(document, item.start())}", f"{file} has no {item.group(1)}")


def compile_program(source, folder):
    """The path of the program and None, or None and the compiler's complaint."""
    path = os.path.join(folder, "source.cc")
    with open(path, "w") as file:
        file.write(source)
    program = os.path.join(folder, "program")
    command = ["g++", "-std=c++20", "-Wall", "-Wextra", "-Wno-unused", "-I" + os.path.join(build, "include"), path, "-o", program,
               "-L" + build, "-ltwofold", "-Wl,-rpath," + build]
    made = subprocess.run(command, capture_output=True, text=True)
    return (None, made.stderr) if made.returncode or "warning:" in made.stderr else (program, None)


def run(program, *arguments, folder=None):
    """What it prints, or None and its complaint. In a folder of its own if none is given."""
    if not folder:
        with tempfile.TemporaryDirectory() as own:
            return run(program, *arguments, folder=own)
    path = os.path.join(build, "tools") + os.pathsep + os.environ["PATH"]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, cwd=folder, env=os.environ | {"PATH": path})
    return (done.stdout, None) if done.returncode == 0 else (None, f"exit status {done.returncode}\n{done.stdout}{done.stderr}")


def in_one(prologue, statements):
    """A program that runs the one of the statements (number, file, first line, code) whose number it is given. The body of each is
    that of a main()."""
    source = f'#line 1 "program.cc"\n{prologue}'
    for i, file, line, code in statements:
        source += f'int block{i}() {{\n#line {line} "{file}"\n{code}return 0;\n}}\n'
    calls = "".join(f"if (number == {i}) return block{i}();\n" for i, _, _, _ in statements)
    return source + f"#include <cstdlib>\nint main(int, char** arguments) {{\nconst int number = std::atoi(arguments[1]);\n{calls}}}\n"


def prologue_of(path, document, blocks):
    """The document's prologue, checked; None where it has no use for one, or has none."""
    prologues = [b for b in blocks if b.group(1) == "cpp prologue"]
    statements = [b for b in blocks if b.group(1) == "cpp" and not MAIN.search(b.group(2))]
    if len(prologues) > 1:
        fail(f"{path}:{line_of(document, prologues[1].start())}", "the prologue is shown twice")
    elif statements and not prologues:
        fail(f"{path}:{line_of(document, statements[0].start())}", "this block has no main(), and the document shows no prologue "
             "(```cpp prologue) to paste before it")
    elif statements and prologues[0].start() > statements[0].start():
        fail(f"{path}:{line_of(document, prologues[0].start())}", "the prologue stands after the first block that needs it")
    return prologues[0].group(2) if prologues else None


class Document:
    """A file, its blocks, and what is found wrong with its form."""

    def __init__(self, path):
        self.path = path
        with open(path) as file:
            self.text = file.read()
        self.blocks = list(BLOCK.finditer(self.text))
        self.prologue = prologue_of(path, self.text, self.blocks)
        check_links(path, self.text)
        check_names(path, self.text)
        check_sources(path, self.text)
        for block in self.blocks:
            for call in re.finditer(r"\.message\(\)", block.group(2) if block.group(1) == "cpp" else ""):
                fail(f"{path}:{line_of(self.text, block.start(2) + call.start())}", "print what(), which has the op and the line")

    def numbers(self, programs):
        """Of the blocks that are programs, or of those that are statements."""
        return [i for i, b in enumerate(self.blocks) if b.group(1) == "cpp" and bool(MAIN.search(b.group(2))) == programs]

    def scripts(self):
        return [i for i, b in enumerate(self.blocks) if b.group(1) == "sh run"]

    def check(self, results):
        """`results`: of each block's number what it printed, and a complaint. Returns how many are right."""
        passed = 0
        edits = []
        for i, (printed, complaint) in sorted(results.items()):
            after = self.blocks[i + 1] if i + 1 < len(self.blocks) and self.blocks[i + 1].group(1) == "text" else None
            if printed is not None and (after is None or printed == after.group(2)):
                passed += 1
                continue
            if update and printed is not None:
                edits.append((after.start(2), after.end(2), printed))
            wanted = f"\n-- the text says\n{after.group(2)}" if after else ""
            fail(f"{self.path}:{line_of(self.text, self.blocks[i].start())}",
                 complaint if printed is None else f"it prints\n{printed}{wanted}")
        for start, end, text in reversed(edits):
            self.text = self.text[:start] + text + self.text[end:]
        if edits:
            with open(self.path, "w") as file:
                file.write(self.text)
        return passed


def outputs(documents):
    """Of each document, of each of its blocks, what it printed and a complaint. All statements share one compilation."""
    results = [{} for _ in documents]
    statements = []
    for d, document in enumerate(documents):
        scripts = document.scripts()
        with tempfile.TemporaryDirectory() as shared:
            for i in sorted(document.numbers(programs=True) + scripts):
                if i in scripts:
                    results[d][i] = run("bash", "-eo", "pipefail", "-c", document.blocks[i].group(2), folder=shared)
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    program, complaint = compile_program(f'#line 1 "program.cc"\n{document.blocks[i].group(2)}', folder)
                    results[d][i] = run(program, folder=shared if scripts else None) if program else (None, complaint)
        statements += [(d, i) for i in document.numbers(programs=False)]
    prologue = next((d.prologue for d in documents if d.prologue is not None), None)
    if not statements or prologue is None:
        return results
    pasted = prologue.count("\n") + 2  # below the prologue and the line of main

    def source(placed):
        return in_one(prologue, [(n, *placed(documents[d], documents[d].blocks[i])) for n, (d, i) in enumerate(statements)])

    with tempfile.TemporaryDirectory() as folder:
        program, complaint = compile_program(source(lambda document, block: ("program.cc", pasted, block.group(2))), folder)
        if not program:  # once more, for the places in the documents
            _, told = compile_program(
                source(lambda document, block: (document.path, line_of(document.text, block.start(2)), block.group(2))), folder)
            fail("the statements of all documents", told or complaint)
            return results
        for n, (d, i) in enumerate(statements):
            results[d][i] = run(program, str(n))
    return results


arguments = sys.argv[1:]
update = arguments[:1] == ["--update"]
build, *files = map(os.path.abspath, arguments[update:])
documents = [Document(path) for path in files]
if len({d.prologue for d in documents if d.prologue is not None}) > 1:
    fail("the documents", "their prologues differ")
if failed == 0:
    passed = sum(document.check(printed) for document, printed in zip(documents, outputs(documents)))
else:
    passed = 0
if failed:
    print(f"test cases: {passed + failed} | {passed} passed | {failed} failed")
else:
    print(f"All tests passed ({passed} programs in {passed} test cases)")
sys.exit(1 if failed or not passed else 0)
