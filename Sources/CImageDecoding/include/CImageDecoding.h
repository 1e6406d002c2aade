#ifndef CIMAGEDECODING_H
#define CIMAGEDECODING_H
#include <stddef.h>
#include <stdint.h>
#endif
