#include "CImageDecoding.h"

#include <zlib.h>

size_t image_inflate(const uint8_t *bytes, size_t count, uint8_t *text, size_t capacity) {
    z_stream stream = {.next_in = (Bytef *)bytes, .avail_in = count > UINT32_MAX ? UINT32_MAX : (uInt)count};
    if (inflateInit(&stream) != Z_OK) return 0;
    stream.next_out = text;
    stream.avail_out = (uInt)capacity;
    int result = inflate(&stream, Z_FINISH);
    size_t written = capacity - stream.avail_out;
    inflateEnd(&stream);
    return result == Z_STREAM_END ? written : 0;
}
