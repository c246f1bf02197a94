/*
 * users_file - a file of names and passwords' hashes, in a folder that goes with it.
 */
#ifndef TYCHO_TESTS_USERS_FILE_H
#define TYCHO_TESTS_USERS_FILE_H

/* By `openssl passwd -6 -salt abcdefgh secret`. */
#define SECRET_HASH                                                                                \
	"$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtL"             \
	"tip/cZ/1GM/O6IND4WQhG."
/* 2^31 rounds of bcrypt: days. Nobody's password. */
#define ENDLESS_HASH "$2b$31$abcdefghijklmnopqrstuu0123456789012345678901234567890"

struct folder {
	char path[64], file[80];
};
struct folder folder_of(const char *content);
void folder_done(struct folder *f);
#define AUTO_FOLDER __attribute__((cleanup(folder_done))) struct folder

#endif
