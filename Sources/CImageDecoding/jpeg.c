#include "CImageDecoding.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

/// What must survive libjpeg's longjmp lives here, not in locals.
typedef struct {
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    image_status status;
    char *message;
    uint8_t *cmyk;  // one row on its way to RGB; null for one and three channels
} jpeg_job;

/// A progressive file of a few kilobytes can ask for thousands of passes over a large image; encoders write about ten.
enum { most_scans = 500 };

static void fail(jpeg_job *job, image_status status, const char *text) {
    job->status = status;
    snprintf(job->message, image_message_size, "%s", text);
    longjmp(job->escape, 1);
}

static void on_error(j_common_ptr decoder) {
    char text[JMSG_LENGTH_MAX];
    decoder->err->format_message(decoder, text);
    switch (decoder->err->msg_code) {
        case JERR_OUT_OF_MEMORY: fail(decoder->client_data, image_out_of_memory, text); break;
        case JERR_BAD_PRECISION:    // 12 bits a sample
        case JERR_SOF_UNSUPPORTED:  // lossless, hierarchical
        case JERR_ARITH_NOTIMPL: fail(decoder->client_data, image_unsupported, text); break;
        default: fail(decoder->client_data, image_malformed, text);
    }
}

static void ignore_message(j_common_ptr decoder, int level) {
    (void)decoder;
    (void)level;
}

static boolean on_end_of_data(j_decompress_ptr decoder) {
    fail(decoder->client_data, image_truncated, "the data ends too early");
    return FALSE;
}

static void count_scans(j_common_ptr common) {
    j_decompress_ptr decoder = (j_decompress_ptr)common;
    if (decoder->input_scan_number > most_scans) fail(common->client_data, image_malformed, "more than 500 scans");
}

/// Ready to read the header.  Runs under the caller's setjmp.
static void open_jpeg(jpeg_job *job, const uint8_t *bytes, size_t count) {
    jpeg_create_decompress(&job->decoder);
    job->decoder.client_data = job;
    job->decoder.progress = &job->progress;
    jpeg_mem_src(&job->decoder, bytes, count);
    job->decoder.src->fill_input_buffer = on_end_of_data;
    jpeg_read_header(&job->decoder, TRUE);
}

static void prepare(jpeg_job *job) {
    job->decoder.err = jpeg_std_error(&job->errors);
    job->decoder.client_data = job;
    job->errors.error_exit = on_error;
    job->errors.emit_message = ignore_message;
    job->progress.progress_monitor = count_scans;
}

image_status jpeg_read_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message) {
    jpeg_job job = {.message = message};
    prepare(&job);
    if (setjmp(job.escape) == 0) {
        open_jpeg(&job, bytes, count);
        *width = job.decoder.image_width;
        *height = job.decoder.image_height;
    }
    jpeg_destroy_decompress(&job.decoder);
    return job.status;
}

/// round(a*b / 255), exact for bytes.
static unsigned scale(unsigned a, unsigned b) {
    unsigned t = a * b + 128;
    return (t + (t >> 8)) >> 8;
}

/// Adobe stores 255 - ink.  rgb = (255 - K) - round(C * (255 - K) / 255), as Pillow's cmyk2rgb.
static void rgb_from_inverted_cmyk(uint8_t *rgb, const uint8_t *cmyk, size_t width) {
    for (size_t x = 0; x < width; x++)
        for (size_t c = 0; c < 3; c++) {
            unsigned light = cmyk[4 * x + 3];
            rgb[3 * x + c] = (uint8_t)(light - scale(255 - cmyk[4 * x + c], light));
        }
}

static void read_rows(jpeg_job *job, uint32_t width, uint32_t height, uint8_t *rgb) {
    j_decompress_ptr decoder = &job->decoder;
    if (decoder->image_width != width || decoder->image_height != height)
        fail(job, image_malformed, "the size is not the one that was announced");
    int channels = decoder->num_components;
    if (channels != 1 && channels != 3 && channels != 4)
        fail(job, image_unsupported, "the number of colour channels is not 1, 3 or 4");
    decoder->out_color_space = channels == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(decoder);
    if (channels == 4) {
        job->cmyk = malloc((size_t)width * 4);
        if (!job->cmyk) fail(job, image_out_of_memory, "no memory for a row");
    }
    while (decoder->output_scanline < height) {
        uint8_t *line = rgb + (size_t)decoder->output_scanline * width * 3;
        uint8_t *row = job->cmyk ? job->cmyk : line;
        jpeg_read_scanlines(decoder, &row, 1);
        if (job->cmyk) rgb_from_inverted_cmyk(line, row, width);
    }
}

image_status jpeg_read_rgb(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb,
                           char *message) {
    jpeg_job job = {.message = message};
    prepare(&job);
    if (setjmp(job.escape) == 0) {
        open_jpeg(&job, bytes, count);
        read_rows(&job, width, height, rgb);
    }
    free(job.cmyk);
    jpeg_destroy_decompress(&job.decoder);
    return job.status;
}
