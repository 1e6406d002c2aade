#include "CImageDecoding.h"
#include "composite-inl.h"

#include <stdio.h>
#include <webp/decode.h>
#include <webp/demux.h>

static image_status fail(image_status status, const char *text, char *message) {
    snprintf(message, image_message_size, "%s", text);
    return status;
}

/// The size that the file announces counts from its ninth byte.
static int is_cut(const uint8_t *bytes, size_t count) {
    if (count < 12) return 1;
    size_t size = bytes[4] | bytes[5] << 8 | bytes[6] << 16 | (size_t)bytes[7] << 24;
    return size + 8 > count;
}

static image_status damaged(const uint8_t *bytes, size_t count, char *message) {
    if (is_cut(bytes, count)) return fail(image_truncated, "the data ends too early", message);
    return fail(image_malformed, "what libwebp does not decode", message);
}

image_status webp_read_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message) {
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(bytes, count, &features) != VP8_STATUS_OK) return damaged(bytes, count, message);
    *width = (uint32_t)features.width;
    *height = (uint32_t)features.height;
    return image_ok;
}

image_status webp_read_rgb(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb,
                           char *message) {
    // As Pillow: the decoder of animations, which of a still picture makes one frame.
    const WebPData data = {bytes, count};
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options)) return fail(image_unsupported, "another libwebp", message);
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, &options);
    if (!decoder) return damaged(bytes, count, message);
    WebPAnimInfo info;
    uint8_t *rgba;
    int milliseconds;
    image_status status = image_ok;
    if (!WebPAnimDecoderGetInfo(decoder, &info) || info.canvas_width != width || info.canvas_height != height)
        status = fail(image_malformed, "the size is not the one that was announced", message);
    else if (!WebPAnimDecoderGetNext(decoder, &rgba, &milliseconds))
        status = damaged(bytes, count, message);
    else
        composite_over_white(rgb, rgba, (size_t)width * height);
    WebPAnimDecoderDelete(decoder);
    return status;
}
