"""Checks that every dependency has a licence, and a name, that deny.toml allows.

The same two checks as `cargo deny check licenses bans`, for machines without cargo-deny.
"""

import json
import re
import subprocess
import sys
import tomllib

rules = tomllib.load(open("deny.toml", "rb"))
allowed = set(rules["licenses"]["allow"])
banned = {ban["crate"] for ban in rules["bans"]["deny"]}


def permits(expression):
    """Whether an SPDX expression can be met with the allowed licences."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either():
        ok = both()
        while words[:1] == ["OR"]:
            words.pop(0)
            ok = both() or ok
        return ok

    def both():
        ok = one()
        while words[:1] == ["AND"]:
            words.pop(0)
            ok = one() and ok
        return ok

    def one():
        word = words.pop(0)
        if word == "(":
            ok = either()
            words.pop(0)
            return ok
        if words[:1] == ["WITH"]:
            words.pop(0)
            word += " WITH " + words.pop(0)
        return word in allowed

    return either()


assert permits("(MIT OR GPL-3.0) AND ISC") and not permits("MIT AND GPL-3.0")

metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version=1", "--all-features"]))
faults = []
for package in metadata["packages"]:
    name, licence = f"{package['name']} {package['version']}", package["license"] or ""
    if not licence or not permits(licence):
        faults.append(f"{name}: licence {licence or 'unknown'} is not allowed by deny.toml")
    if package["name"] in banned:
        faults.append(f"{name}: deny.toml bans it")
print("\n".join(faults) or f"{len(metadata['packages'])} packages, all allowed")
sys.exit(bool(faults))
