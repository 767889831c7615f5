/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_internal.h - what the files behind config.h share.
 */
#ifndef FSOCK_CONTEXT_CONFIG_INTERNAL_H
#define FSOCK_CONTEXT_CONFIG_INTERNAL_H

#include "context/config.h"

/* May @list be the value of the option bypass? */
bool config_bypass_is_valid(const char *list, size_t len);
bool config_scope_is_valid(const char *value, size_t len);
bool config_users_are_valid(const char *list, size_t len);

#endif
