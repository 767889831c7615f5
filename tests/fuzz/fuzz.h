/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz.h - what every fuzz target has: one entry, and checks of properties.
 *
 * A target is linked either with libFuzzer or with replay.c, which feeds it the committed corpus.
 * It must not depend on anything but its input.
 */
#ifndef FSOCK_TESTS_FUZZ_FUZZ_H
#define FSOCK_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The name is libFuzzer's. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Prints and aborts: the input is then kept as a finding. */
_Noreturn void fuzz_failed(const char *expression, const char *file, int line);

#define FUZZ_CHECK(e) ((e) ? (void)0 : fuzz_failed(#e, __FILE__, __LINE__))

#endif
