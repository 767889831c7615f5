/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_context_config.c - fsock.conf: any bytes give a valid configuration and tame messages.
 */
#include "context/config.h"

#include <string.h>

#include "fuzz.h"

/* Counts messages and checks each: one line, printable, terminated within its length. */
static void hear(void *context, const char *text)
{
	unsigned *heard = context;

	FUZZ_CHECK(strnlen(text, CONFIG_MESSAGE_LEN) < CONFIG_MESSAGE_LEN);
	for (; *text; text++)
		FUZZ_CHECK((unsigned char)*text >= 0x20 && *text != 0x7f);
	(*heard)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char value[CONFIG_VALUE_LEN], again[CONFIG_VALUE_LEN], why[CONFIG_MESSAGE_LEN];
	unsigned heard = 0;
	struct config_reporter reporter = { hear, &heard };
	struct config config, back;

	config_init(&config);
	config_init(&back);
	FUZZ_CHECK(config_parse(&config, (const char *)data, size, "fuzz", CONFIG_FROM_USER_FILE,
				&reporter) == heard);
	for (unsigned id = 0; id < CONFIG_N_OPTIONS; id++) {
		const struct config_option *option = config_option_at(id);

		/* What was accepted is accepted again in the form it is shown in. */
		config_value_text(&config, id, value);
		FUZZ_CHECK(strnlen(value, sizeof(value)) < sizeof(value));
		for (const char *c = value; *c; c++)
			FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
		FUZZ_CHECK(config_set(&back, id, value, strlen(value), CONFIG_FROM_USER_FILE,
				      why) == 0);
		FUZZ_CHECK(strcmp(value, config_value_text(&back, id, again)) == 0);
		FUZZ_CHECK(config_find(option->name, strlen(option->name)) == (int)id);
	}
	FUZZ_CHECK(config.umem_size >= config_option_at(CONFIG_umem_size)->min);
	FUZZ_CHECK(config.spin <= config_option_at(CONFIG_spin)->max);
	config_bypass_has(config.bypass, 17, 53);
	config_list_has(config.interface, "veth0");
	return 0;
}
