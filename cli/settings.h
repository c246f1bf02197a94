/*
 * settings - the options every command shares, each from the first place that has it.
 *
 *	flag  >  $TYCHO_<NAME>  >  $HUBBLE_<NAME>  >  configuration file  >  default
 *
 * NAME is the flag's name in capitals, '-' as '_'. Empty variables count as unset. $HUBBLE_ is read
 * so that what is set up for Hubble's CLI works unchanged; the file is our own: --config, or
 * $XDG_CONFIG_HOME/tycho/config.yaml. A missing or broken file is no error here, as in the
 * reference.
 */
#ifndef TYCHO_CLI_SETTINGS_H
#define TYCHO_CLI_SETTINGS_H

#include "cli/config_file.h"
#include "cli/flags.h"

/* Flags of every command, and those that say how to reach a server. */
extern const struct flag_set global_flags, server_flags;

struct settings;

/* @flags is borrowed for the life of the settings. */
MUST_CHECK enum err_code settings_load(const struct flags *flags, struct settings **ret,
				       struct err *e);
/* The configuration file that was read; NULL if there was none, or none that could be read. */
const char *settings_file(const struct settings *s);
/* Why there is none, where one is: it cannot be read, or is none; or one was named that is not
 * there. Else NULL. Settings are then as without it, as the reference has them. */
const struct err *settings_file_fault(const struct settings *s);
void settings_free(struct settings *s);
AUTO_DEFINE(struct settings, settings_free);

/* From now on "server" is @address, whatever flags and files say. Borrowed for the life of the
 * settings. */
void settings_set_server(struct settings *s, const char *address);

const char *settings_text(const struct settings *s, const char *key);
bool settings_bool(const struct settings *s, const char *key);
/* 0 when the text is none; a number without a unit is nanoseconds, as the reference has it. */
int64_t settings_duration_ns(const struct settings *s, const char *key);
/* Item @i of a list, NULL after the last. */
const char *settings_item(const struct settings *s, const char *key, size_t i);

/* "certificate and private key are both required, …": what the reference checks before any command
 * but config; the certificate files must be readable when TLS is on. */
MUST_CHECK enum err_code settings_check(const struct settings *s, struct err *e);
/* Before a server is asked: that what the environment and the file say can be understood, so that
 * "TLS: yes" does not mean that there is none. */
MUST_CHECK enum err_code settings_check_values(const struct settings *s, struct err *e);
/* True if connections are to use TLS: --tls, or a server address that begins with tls://. */
bool settings_want_tls(const struct settings *s);

/* Every setting in the order of its name, as YAML. */
void settings_put_yaml(const struct settings *s, struct buf *b);
/* One setting as YAML. ERR_NOT_FOUND: "unknown key: …". */
MUST_CHECK enum err_code settings_put_one(const struct settings *s, const char *key, struct buf *b,
					  struct err *e);
/* Is it a key of the settings or of the file? */
bool settings_has_key(const struct settings *s, const char *key);
/* The definition of a setting's flag; NULL for keys that only the file has. */
const struct flag_def *settings_flag(const char *key);
/* Its default as text; never NULL. */
const char *settings_default(const struct settings *s, const struct flag_def *def);

#endif
