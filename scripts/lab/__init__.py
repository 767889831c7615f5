# SPDX-License-Identifier: BSD-2-Clause
"""
lab - two network namespaces joined by a veth pair, the programs that run in them, and the promise
that nothing of it remains.

Used by ./demo, ./check, bench/run and tests/system. Needs python3, iproute2 and root, nothing else.
"""
