import CMPG123
import Foundation

/// MPEG audio (MP3 and its older layers) decoded by libmpg123, without the encoder's padding at both ends.
///
/// libsndfile could do it, but lets libmpg123 write to standard error, and stops at the end of the first of two joined
/// files.
///
/// Sendable although it holds a C handle: the handle has one owner, and reading needs exclusive access to it.
final class MPEGFile: SoundDecoder, @unchecked Sendable {
    let sampleRate: Int
    let channels: Int
    let announcedFrames: Int

    private let source: SourceBytes
    private let stream: ByteStream
    private let handle: OpaquePointer
    private var isFinished = false

    private static let isReady = mpg123_init() == MPG123_OK.rawValue

    /// - Parameter bytes: adjoining frames, without tags.
    init(_ source: SourceBytes, _ bytes: SplicedBytes) throws(MediaError) {
        var failure: Int32 = 0
        guard Self.isReady, let handle = mpg123_new(nil, &failure) else {
            throw source.error(
                .outOfMemory, expected: "a decoder for MPEG audio", found: "none", remedy: "free some memory")
        }
        let stream = ByteStream(source, bytes)
        var (rate, count, encoding): (Int, Int32, Int32) = (0, 0, 0)
        let flags = MPG123_QUIET.rawValue | MPG123_FORCE_FLOAT.rawValue | MPG123_GAPLESS.rawValue
        let status =
            [
                mpg123_param(handle, MPG123_ADD_FLAGS, Int(flags), 0),
                mpg123_param(handle, MPG123_REMOVE_FLAGS, Int(MPG123_AUTO_RESAMPLE.rawValue), 0),
                mpg123_param(handle, MPG123_RESYNC_LIMIT, -1, 0),
                mpg123_replace_reader_handle(handle, ByteStream.readDescriptor, ByteStream.seekDescriptor, nil),
                mpg123_open_handle(handle, Unmanaged.passUnretained(stream).toOpaque()),
                mpg123_getformat(handle, &rate, &count, &encoding),
            ].first { $0 != MPG123_OK.rawValue }
        guard status == nil else {
            mpg123_delete(handle)
            throw source.error(
                .malformed, expected: "a whole recording", found: "an MPEG header without a frame that decodes",
                remedy: "export or download it again, or convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav")
        }
        (self.source, self.stream, self.handle) = (source, stream, handle)
        (sampleRate, channels) = (rate, Int(count))
        announcedFrames = max(0, Int(mpg123_length(handle)))
    }

    deinit {
        mpg123_delete(handle)
    }

    /// Skips frames that do not decode: damage inside a frame is detected only here.
    func read(frames: Int) throws(MediaError) -> [Float] {
        while !isFinished {
            let samples = [Float](unsafeUninitializedCapacity: frames * channels) { buffer, count in
                var bytes = 0
                let status = mpg123_read(handle, buffer.baseAddress, buffer.count * MemoryLayout<Float>.size, &bytes)
                isFinished = status == MPG123_DONE.rawValue || status == MPG123_ERR.rawValue && bytes == 0
                count = bytes / MemoryLayout<Float>.size
            }
            if !samples.isEmpty { return samples }
        }
        return []
    }
}
