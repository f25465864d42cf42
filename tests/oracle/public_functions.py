#!/usr/bin/env python3
"""Lists what the public headers of a build declare, for tests/oracle/completeness_test.cc.

usage: public_functions.py BUILD_ROOT OUTPUT DEPFILE

Writes {"header", "name"}, a line for each: free functions and classes of namespace twofold and of those within it ("clip",
"nn::Linear"), and classes' public functions ("Tensor::item").

Leaves out classes without functions (options, results), namespaces called internal, constructors (the class stands for them), destructors, operators that are members,
and what is deleted. A small parser of declarations, not of C++: it knows scopes, and that a name before "(" is a function's.
"""
import os
import re
import subprocess
import sys

KEYWORDS = {"requires", "decltype", "noexcept", "alignas", "static_assert", "sizeof", "explicit", "if", "return", "while",
            "for", "switch", "operator", "__attribute__", "TWOFOLD_FIELDS", "TWOFOLD_ITEM", "TWOFOLD_OP_NAME"}


def clean(text):
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])*\'', '""', text)
    text = re.sub(r"\[\[.*?\]\]", " ", text, flags=re.S)
    return re.sub(r"^[ \t]*#(\\\n|[^\n])*", " ", text, flags=re.M)


def tokens(text):
    return re.findall(r"operator\s*(?:\(\s*\)|\[\s*\]|[^\s\w(]{1,3})(?=\s*\()|[A-Za-z_]\w*|::|\S", text)


class Scope:
    def __init__(self, kind, name, public=True):
        self.kind, self.name, self.public = kind, name, public


def declaration(words, scopes, found):
    """A declaration of the current scope, up to its body or semicolon."""
    if not words or words[0] in ("using", "typedef", "friend", "static_assert", "extern"):
        return
    if "friend" in words or "".join(words).endswith("=delete"):
        return
    depth, angle, i = 0, 0, 0
    while i < len(words):
        w = words[i]
        if w == "template" and i + 1 < len(words) and words[i + 1] == "<":
            angle, i = 1, i + 2
            while angle:
                angle += {"<": 1, ">": -1}.get(words[i], 0)
                i += 1
            continue
        if w == "requires":
            # Up to the end of its parenthesis, or of the chain of words.
            i += 1
            if words[i] == "(":
                depth = 1
                while depth:
                    i += 1
                    depth += {"(": 1, ")": -1}.get(words[i], 0)
            i += 1
            continue
        if w == "(" and words[i + 1] == "*":
            return  # a pointer to a function
        if w == "(":
            name = words[i - 1]
            if i == 0 or not re.match(r"operator|[A-Za-z_]\w*$", name) or name in KEYWORDS:
                if name in ("decltype", "noexcept", "alignas", "explicit", "__attribute__"):
                    depth = 1
                    while depth:
                        i += 1
                        depth += {"(": 1, ")": -1}.get(words[i], 0)
                    i += 1
                    continue
                return
            add(name, words[:i - 1], scopes, found)
            return
        if w == "=":
            return
        i += 1


def add(name, before, scopes, found):
    path = [s.name for s in scopes if s.name]
    if "internal" in path or not path or path[0] != "twofold" or not all(s.public for s in scopes):
        return
    in_class = scopes[-1].kind == "class"
    if in_class and name == scopes[-1].name:
        found.add("::".join(path[1:]))
        return
    if in_class and not name.startswith("operator"):
        found.add("::".join(path[1:]))
    if in_class and ( name.startswith("operator") or (before and before[-1] in ("~", "operator"))):
        return
    if not in_class and before and before[-1] == "::":
        return
    found.add("::".join(path[1:] + [re.sub(r"\s", "", name)]))


def scan(text, found):
    scopes, words, depth = [], [], 0
    stream = tokens(clean(text))
    i = 0
    while i < len(stream):
        w = stream[i]
        if w in "([":
            depth += 1
        elif w in ")]":
            depth -= 1
        if depth == 0 and w == "{":
            head = " ".join(words)
            opened = re.match(r"(?:inline )?namespace ([\w: ]+)$", head)
            made = re.search(r"\b(class|struct|union|enum class|enum) (\w+)(?: final)?(?: :(?! :).*)?$", head)
            if opened:
                for name in opened[1].replace(" ", "").split("::"):
                    scopes.append(Scope("namespace", name))
                scopes[-1].closes = len(opened[1].replace(" ", "").split("::"))
                words = []
            elif made and "(" not in head.split(made[0])[0] and not made[1].startswith("enum"):
                scopes.append(Scope("class", made[2]))
                if made[1] == "class":
                    scopes.append(Scope("private", "", False))
                words = []
            else:
                if not re.search(r"\benum\b", head):
                    declaration(words, scopes, found)
                level = 1
                while level:
                    i += 1
                    level += {"{": 1, "}": -1}.get(stream[i], 0)
                # A constructor's member initialiser in braces goes on; else the body has ended.
                words = [] if not re.search(r"= *$", head) else words + ["{}"]
                if i + 1 < len(stream) and stream[i + 1] in (",", "{") and scopes and scopes[-1].kind != "namespace":
                    words = ["using"]
        elif depth == 0 and w == "}":
            if scopes and scopes[-1].kind == "private":
                scopes.pop()
            closed = scopes.pop()
            for _ in range(getattr(closed, "closes", 1) - 1):
                scopes.pop()
            words = ["using"] if closed.kind == "class" else []
        elif depth == 0 and w == ";":
            declaration(words, scopes, found)
            words = []
        elif depth == 0 and w == ":" and len(words) == 1 and words[0] in ("public", "protected", "private"):
            if scopes[-1].kind == "private":
                scopes.pop()
            if words[0] != "public":
                scopes.append(Scope("private", "", False))
            words = []
        else:
            words.append(w)
        i += 1


def public_functions(build):
    """(header, sorted names) for each public header of a build, the header as in <twofold/HEADER>."""
    here = os.path.dirname(os.path.abspath(__file__))
    headers = subprocess.run([sys.executable, os.path.join(here, "../../lib/public_headers.py"), build], check=True,
                             capture_output=True, text=True).stdout.split()
    for path in headers:
        found = set()
        with open(os.path.join(build, "include/twofold", path)) as file:
            text = file.read()
        if path.endswith("ops.def"):
            found |= set(re.findall(r"^TWOFOLD_(?:UN|BIN)ARY\((\w+),", text, re.M))
        else:
            scan(text, found)
        yield path, sorted(found)


def main(build, output, depfile):
    headers = []
    with open(output, "w") as out:
        for path, names in public_functions(build):
            headers.append(path)
            for name in names:
                out.write('{"%s", "%s"},\n' % (path, name))
    with open(depfile, "w") as out:
        out.write(output + ": " + " ".join(os.path.join(build, "include/twofold", path) for path in headers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
