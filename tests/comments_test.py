#!/usr/bin/env python3
"""Checks that what public headers declare has a comment that Doxygen attaches.

usage: comments_test.py BUILD_ROOT

Of what is public or protected in namespace twofold, but for namespaces called internal: functions, operators, classes, structs, enums,
and the data members of structs. A comment is

- lines of /// before the declaration, or ///< behind it on its last line;
- for several declarations, or for one of several names, /// @{ before the commented first of them and /// @} after the last:
  docs/Doxyfile asks Doxygen to give all of them its comment.

Needed by none: constructors and assignments (the class's comment speaks of them), destructors, what is deleted, overridden, deprecated
or a friend, forward declarations, overloads that are there to refuse by a static_assert, members of ops' attribute structs (the function
that takes them speaks of them), and functions that a record in ops.def declares, whose comment is the record's text.
"""
import os
import re
import subprocess
import sys

TOKEN = re.compile(r"""(?P<space>\s+)|(?P<doc>///[^\n]*)|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<hash>\#(?:\\\n|[^\n])*)"""
                   r"""|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<word>[A-Za-z_]\w*|::|->|[0-9][\w.']*|\[\[.*?\]\]|.)""", re.S)


class Scope:
    def __init__(self, kind, name, public, closes=1):
        self.kind, self.name, self.public, self.closes = kind, name, public, closes


class Header:
    """The declarations of one header, and which of them have no comment."""

    def __init__(self, path, text):
        self.path, self.missing, self.seen = path, [], []
        self.tokens, self.docs, self.open_lines, self.close_lines = [], {}, [], []
        line = 1
        for t in TOKEN.finditer(text):
            if t.lastgroup == "doc":
                self.docs[line] = t.group()
            elif t.lastgroup in ("word", "string"):
                self.tokens.append((t.group(), line, line + t.group().count("\n")))
            line += t.group().count("\n")
        groups = [(n, "{" if "@{" in d else "}") for n, d in sorted(self.docs.items()) if re.search(r"@[{}]", d)]
        self.groups = list(zip([n for n, k in groups if k == "{"], [n for n, k in groups if k == "}"]))
        self.declared = set()
        self.attributes = []  # the scopes of ops' attribute structs
        self.scan()
        self.missing = [m for m in self.missing if not (m[3] == "member" and m[5] in self.attributes and m[5].name.endswith("Attrs"))]

    def has_comment(self, first, last, alone):
        trailing = next((n for n in range(first, last + 1) if self.docs.get(n, "").startswith("///<")), None)
        before = self.docs.get(first - 1, "")
        if alone and (trailing or (before and not before.startswith("///<") and "@}" not in before and "@{" not in before)):
            return True
        for start, end in self.groups:
            if start < first < end:
                text = [self.docs.get(n, "") for n in (start - 1, start + 1)]
                return any(t and not t.startswith("///<") for t in text)
        return False

    def check(self, what, name, first, last, scopes, end=None, alone=True):
        path = [s.name for s in scopes if s.name]
        if not path or path[0] != "twofold" or "internal" in path or "detail" in path or not all(s.public for s in scopes):
            return
        found = (first, last, end or last, what, "::".join(path[1:] + [name]), scopes[-1])
        self.seen.append(found)
        if not self.has_comment(first, last, alone):
            self.missing.append(found)

    def declaration(self, words, scopes, end=None):
        """`words`: tokens of a declaration without its body."""
        text = [w for w, _, _ in words]
        joined = " ".join(text)
        if len(text) < 2 or text[0] in ("using", "typedef", "friend", "static_assert", "extern", "concept") or "friend" in text:
            return
        if re.search(r"= (delete|default)( ;)?$", joined) or "override" in text or "[[deprecated" in joined or re.match(r"TWOFOLD_\w+ \(", joined) or "concept" in text:
            return
        first, last = words[0][1], words[-1][2]
        core = self.without_template(text)
        if not core or core[0] in ("class", "struct", "enum", "union"):
            return  # a forward declaration; classes with a body are met elsewhere
        place = self.name_of_function(core)
        in_class = scopes and scopes[-1].kind in ("class", "struct")
        if place is None:
            if scopes and scopes[-1].kind == "struct":
                joined = " ".join(core)
                pointer = re.search(r"\( \* (\w+) \) \(", joined)  # to a function
                names = [pointer[1]] if pointer else re.findall(r"[A-Za-z_]\w*", re.split(r" [={[]", joined)[0])
                if names and names[0] != "static":
                    several = not pointer and re.search(r" ,", re.sub(r"< .*? >|\{\}|\( .*? \)", "", joined))
                    self.check("member", names[-1], first, last, scopes, alone=not several)
            return
        name = core[place]
        if name == "operator":
            name = "operator" + ("()" if core[place + 1] == "(" else "".join(core[place + 1:core.index("(", place + 1)]))
            if in_class and name in ("operator=",):
                return
        elif in_class and (name == scopes[-1].name or (place and core[place - 1] == "~")):
            return
        elif place == 0 or core[place - 1] == "::":
            return  # a deduction guide, the definition of a member
        signature = (id(scopes[-1]) if scopes else 0, " ".join(core[place:]).split("{}")[0].split(";")[0].strip())
        if signature in self.declared and end:
            return  # the definition of what stands above
        self.declared.add(signature)
        self.check("function", name, first, last, scopes, end)

    @staticmethod
    def without_template(text):
        """Without attributes, template<...> and requires-clauses before a declaration."""

        def behind(i, opening, closing):
            depth = 0
            while i < len(text):
                depth += {opening: 1, closing: -1}.get(text[i], 0)
                i += 1
                if depth == 0:
                    break
            return i

        i = 0
        while i < len(text) and (text[i] in ("template", "requires") or text[i].startswith("[[")):
            if text[i] == "template":
                i = behind(i + 1, "<", ">")
            elif text[i] == "requires":
                i += 1
                while i < len(text):  # parentheses, or a name of a concept, joined by && and ||
                    if text[i] == "(":
                        i = behind(i, "(", ")")
                    else:
                        i += text[i] == "!"
                        while text[i + 1:i + 2] == ["::"]:
                            i += 2
                        i += 1
                        if text[i:i + 1] == ["<"]:
                            i = behind(i, "<", ">")
                    if text[i:i + 2] not in (["&", "&"], ["|", "|"]):
                        break
                    i += 2
            else:
                i += 1
        return text[i:]

    @staticmethod
    def name_of_function(core):
        """The place of the name before a function's parameters; None: no function."""
        depth = 0
        for i, w in enumerate(core):
            if w == "operator":
                return i
            depth += {"<": 1, ">": -1}.get(w, 0)
            if w == "=" or (w == "{" and depth == 0):
                return None
            if w == "(" and depth <= 0 and i:
                if core[i + 1:i + 2] == ["*"]:
                    return None
                if core[i - 1] in ("decltype", "noexcept", "alignas", "explicit", "__attribute__"):
                    continue
                return i - 1 if re.match(r"[A-Za-z_]\w*$", core[i - 1]) else None
        return None

    def scan(self):
        scopes, words, depth, i, t = [], [], 0, 0, self.tokens
        while i < len(t):
            w = t[i][0]
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(w, 0)
            if depth == 0 and w == "{":
                i, words = self.brace(i, words, scopes)
            elif depth == 0 and w == "}":
                closed = scopes.pop()
                if words and words[0][0] == "TWOFOLD_FIELDS":
                    self.attributes.append(closed)
                for _ in range(closed.closes - 1):
                    scopes.pop()
                while closed.kind != "namespace" and t[i][0] != ";":
                    i += 1
                words = []
            elif depth == 0 and w == ";":
                self.declaration(words + [t[i]], scopes)
                words = []
            elif depth == 0 and w == ":" and [x for x, _, _ in words] in (["public"], ["protected"], ["private"]):
                scopes[-1].public = words[0][0] != "private"
                words = []
            else:
                words.append(t[i])
            i += 1

    def brace(self, i, words, scopes):
        """At an opening brace: the place of the last token that is done with, and the words of a declaration that goes on."""
        t = self.tokens
        head = " ".join(self.without_template([x for x, _, _ in words]))
        space = re.match(r"(?:inline )?namespace ([\w: ]*)$", head)
        made = re.match(r"(class|struct|union|enum class|enum)(?: \[\[.*?\]\])? (\w+)(?: final)?( <.*>)?(?: :(?! :).*)?$", head)
        if space:
            names = space[1].replace(" ", "").split("::")
            scopes += [Scope("namespace", name, name != "", len(names)) for name in names]
            return i, []
        if made and not made[3]:  # a specialisation is its template's
            self.check(made[1], made[2], words[0][1], t[i][1], scopes)
        if made and not made[1].startswith("enum"):
            scopes.append(Scope("class" if made[1] == "class" else "struct", made[2], made[1] != "class" and not made[3]))
            return i, []
        level, j = 1, i
        while level:
            j += 1
            level += {"{": 1, "}": -1}.get(t[j][0], 0)
        if not made and (t[j + 1][0] in (";", ",", "{") or words[-1][0] == "requires"):  # an initialiser, a requirement
            return j, words + [("{}", t[i][1], t[j][2])]
        if made:
            while t[j][0] != ";":
                j += 1
        elif t[i + 1][0] != "static_assert":
            self.declaration(words + [("{}", t[i][1], t[i][1])], scopes, t[j][2])
        return j, []


def main(build):
    here = os.path.dirname(os.path.abspath(__file__))
    paths = subprocess.check_output([sys.executable, os.path.join(here, "../lib/public_headers.py"), build], text=True).split()
    seen, missing = 0, []
    for path in (p for p in paths if p.endswith(".h")):
        with open(os.path.join(build, "include/twofold", path)) as file:
            header = Header(path, file.read())
        seen += len(header.seen)
        missing += [f"{path}:{line}: {what} {name} has no comment" for line, _, _, what, name, _ in header.missing]
    sys.path.insert(0, os.path.join(here, "../docs"))
    from ops_for_doxygen import functions
    with open(os.path.join(build, "include/twofold/kernels/pointwise/ops.def")) as file:
        records = list(functions(file.read()))
    missing += [f"kernels/pointwise/ops.def: the record of {name} has no text" for name, _, text in records if not text]
    seen += len(records)
    if seen < 500:
        missing.append(f"only {seen} declarations were found")
    print("\n".join(missing) or f"all of {seen} declarations have a comment")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
