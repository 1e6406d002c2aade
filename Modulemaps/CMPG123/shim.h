// The functions with enumerations as parameters, which every release has.
#define MPG123_ENUM_API
#include <mpg123.h>
