#include "CImageDecoding.h"
#include "composite-inl.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// What must survive libpng's longjmp lives here, not in locals.
typedef struct {
    const uint8_t *next;
    size_t left;
    image_status status;
    char *message;
    png_structp png;
    png_infop info;
    uint8_t *rgba;  // rows with alpha on their way to RGB; null for an opaque image
} png_job;

static void read_bytes(png_structp png, png_bytep out, size_t count) {
    png_job *job = png_get_io_ptr(png);
    if (count > job->left) {
        job->status = image_truncated;
        png_error(png, "the data ends too early");
    }
    memcpy(out, job->next, count);
    job->next += count;
    job->left -= count;
}

static void fail(png_structp png, png_const_charp text) {
    png_job *job = png_get_error_ptr(png);
    if (job->status == image_ok) job->status = image_malformed;
    snprintf(job->message, image_message_size, "%s", text);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

/// libpng asks for a chunk's memory before it looks for the chunk, and its own limit on that only warns. A row of a million
/// pixels takes 8 MB, so more is asked for by no picture that is read.
static png_voidp allocate(png_structp png, png_alloc_size_t size) {
    (void)png;
    return size > 32 << 20 ? NULL : malloc(size);
}

static void release(png_structp png, png_voidp memory) {
    (void)png;
    free(memory);
}

static image_status open_png(png_job *job) {
    job->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, job, fail, ignore_warning, NULL, allocate, release);
    job->info = job->png ? png_create_info_struct(job->png) : NULL;
    if (!job->info) {
        snprintf(job->message, image_message_size, "libpng could not be set up");
        return image_out_of_memory;
    }
    png_set_read_fn(job->png, job, read_bytes);
    png_set_user_limits(job->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller limits width * height instead
    png_set_chunk_malloc_max(job->png, 8 << 20);
    // Texts, profiles and the like are not read, nor their memory asked for; transparency (tRNS) is.
    png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    return image_ok;
}

static void close_png(png_job *job) {
    free(job->rgba);
    png_destroy_read_struct(&job->png, &job->info, NULL);
}

image_status png_read_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message) {
    png_job job = {.next = bytes, .left = count, .message = message};
    image_status status = open_png(&job);
    if (status == image_ok) {
        if (setjmp(png_jmpbuf(job.png)) == 0) {
            png_read_info(job.png, job.info);
            *width = png_get_image_width(job.png, job.info);
            *height = png_get_image_height(job.png, job.info);
        }
        status = job.status;
    }
    close_png(&job);
    return status;
}

static void read_rows(png_job *job, uint32_t width, uint32_t height, uint8_t *rgb) {
    png_structp png = job->png;
    png_read_info(png, job->info);
    if (png_get_image_width(png, job->info) != width || png_get_image_height(png, job->info) != height)
        png_error(png, "the size is not the one that was announced");
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, job->info);

    size_t channels = png_get_channels(png, job->info);  // 3, or 4 with alpha
    int row_by_row = channels == 4 && passes == 1;       // an interlaced image is complete only after its last pass
    uint8_t *rows = rgb;
    if (channels == 4) {
        rows = job->rgba = malloc((size_t)width * 4 * (row_by_row ? 1 : height));
        if (!rows) {
            job->status = image_out_of_memory;
            png_error(png, "no memory for the rows");
        }
    }
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) {
            uint8_t *row = rows + (row_by_row ? 0 : y * width * channels);
            png_read_row(png, row, NULL);
            if (channels == 4 && pass == passes - 1) composite_over_white(rgb + y * width * 3, row, width);
        }
    png_read_end(png, NULL);
}

image_status png_read_rgb(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb,
                          char *message) {
    png_job job = {.next = bytes, .left = count, .message = message};
    image_status status = open_png(&job);
    if (status == image_ok) {
        if (setjmp(png_jmpbuf(job.png)) == 0) read_rows(&job, width, height, rgb);
        status = job.status;
    }
    close_png(&job);
    return status;
}
