#ifndef CIMAGEDECODING_H
#define CIMAGEDECODING_H

#include <stddef.h>
#include <stdint.h>

/// PNG, JPEG and WebP in memory to 8-bit RGB.  Here and not in Swift because libpng and libjpeg report errors by longjmp,
/// which must not cross Swift frames.  Nothing here keeps state between calls, prints, or outlives a failed call.

typedef enum {
    image_ok,
    image_truncated,    // the bytes end before the image does
    image_malformed,    // the bytes contradict the format
    image_unsupported,  // valid, but of a kind that has no conversion to RGB
    image_out_of_memory,
} image_status;

enum { image_message_size = 256 };

/// Width and height in pixels, from the header alone; nothing of the image's size is allocated.
/// On failure `message` (image_message_size bytes) holds the library's reason.
image_status png_read_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message);
image_status jpeg_read_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message);
image_status webp_read_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message);

/// rgb [height, width, 3]: every pixel, written whole if and only if the result is image_ok.
///
/// PNG: 16-bit samples keep their high byte, palettes and grey are expanded, alpha (a channel or tRNS) is composited
/// over white as round(c*a/255 + 255*(1 - a/255)).  gAMA, cHRM and iCCP are not applied.
///
/// JPEG: libjpeg's defaults (islow inverse DCT, fancy upsampling); four channels are taken for Adobe's inverted CMYK,
/// as Pillow does.  Orientation and ICC profile are not applied.  Damage that libjpeg itself repairs is not an error.
///
/// WebP: the first frame of an animation; alpha as of PNG.
image_status png_read_rgb(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb,
                          char *message);
image_status jpeg_read_rgb(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb,
                           char *message);
image_status webp_read_rgb(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb,
                           char *message);

/// zlib's format, whole, into text [capacity].
/// Returns the bytes written; 0 if there are none, more than `capacity`, or the data is damaged.
size_t image_inflate(const uint8_t *bytes, size_t count, uint8_t *text, size_t capacity);

#endif
