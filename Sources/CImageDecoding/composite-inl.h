// Included by the decoders of formats that have transparency.
#include <stddef.h>
#include <stdint.h>

/// t = c*a + 255*(255 - a) is at most 255*255, where (t + 128 + ((t + 128) >> 8)) >> 8 is round(t / 255) exactly.
static void composite_over_white(uint8_t *rgb, const uint8_t *rgba, size_t pixels) {
    for (size_t x = 0; x < pixels; x++) {
        unsigned alpha = rgba[4 * x + 3], white = 255 * (255 - alpha) + 128;
        for (size_t c = 0; c < 3; c++) {
            unsigned t = rgba[4 * x + c] * alpha + white;
            rgb[3 * x + c] = (uint8_t)((t + (t >> 8)) >> 8);
        }
    }
}
