"""Prints block NUMBER of those of LANGUAGE in a document, the first being 0.

usage: readme_block.py DOCUMENT LANGUAGE NUMBER
"""
import re
import sys

path, language, number = sys.argv[1:]
with open(path) as document:
    print(re.findall(rf"^```{language}\n(.*?)^```$", document.read(), re.M | re.S)[int(number)], end="")
