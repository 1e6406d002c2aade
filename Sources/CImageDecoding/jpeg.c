#include "CImageDecoding.h"
