#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
run_models.py [--deep] - the models of this folder by spin: each holds, and each of its broken variants does not.

A model names its broken variants in its head, as words of the compiler's behind "must fail:". --deep takes more bytes
through each. Prints TAP. Exit status 77 where there is no spin or no compiler.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MODELS = {"bell": ("-DBYTES=3", "-DBYTES=6"), "room": ("-DBYTES=12", "-DBYTES=60")}


def run(argv, folder):
    done = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def search(model, words):
    """(number of errors, number of states) of the model with these definitions; (None, why): not a whole search."""
    with tempfile.TemporaryDirectory() as temp:
        for path in HERE.glob("*.pml"):
            shutil.copy2(path, temp)
        for argv in (["spin", *words, "-a", model + ".pml"],
                     ["cc", "-O2", "-DSAFETY", "-DMEMLIM=512", "-o", "pan", "pan.c"]):
            status, out = run(argv, temp)
            if status != 0:
                return None, out
        _, out = run(["./pan", "-m1000000"], temp)
    errors, states = re.search(r"errors: (\d+)", out), re.search(r"(\d+) states, stored", out)
    partial = "max search depth too small" in out or "Search not completed" in out
    if not errors or not states or (partial and errors[1] == "0"):
        return None, out
    return int(errors[1]), int(states[1])


def variants(model):
    head = (HERE / (model + ".pml")).read_text().partition("*/\n#")[0]
    return re.findall(r"-D\w+(?:=\d+)?", re.sub(r"\s*\n \*", "", head).partition("must fail:")[2])


def main():
    if not shutil.which("spin") or not shutil.which("cc"):
        print("1..0 # SKIP no spin")
        return 77
    number = failed = 0
    for model, bytes_ in MODELS.items():
        size = bytes_["--deep" in sys.argv]
        broken = variants(model)
        if not broken:
            raise SystemExit(f"{model}.pml names no broken variant")
        for words in ([], *([word] for word in broken)):
            number += 1
            errors, states = search(model, [size, *words])
            good = errors is not None and (errors > 0) == bool(words)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {' '.join([model, *words])}"
                  f"{' fails' if words else ''}", flush=True)
            print(f"# {states if not good or errors is None else f'{states} states'}", flush=True)
    print(f"1..{number}")
    return 1 if failed else 0


sys.exit(main())
