import CSndFile
import Foundation

/// A recording that libsndfile has open: interleaved frames at the file's own rate, integers scaled to [-1, 1).
///
/// Sendable although it holds a C handle: the handle has one owner, and reading needs exclusive access to it.
struct SoundFile: ~Copyable, @unchecked Sendable {
    /// Beyond these a header lies, or the recording is of something else than speech.
    static let rates = 1_000...768_000
    static let mostChannels = 64

    let sampleRate: Int
    let channels: Int
    /// Frames that the header announces; 0 or far too many where it does not know.
    let announcedFrames: Int

    /// libsndfile keeps why an opening failed in one place for all threads, and the next opening overwrites it.
    private static let opening = NSLock()

    private let stream: ByteStream
    private let handle: OpaquePointer
    private var framesRead = 0

    init(_ source: SourceBytes) throws(MediaError) {
        guard !source.bytes.isEmpty else {
            throw source.error(
                .empty, expected: "a recording", found: "no bytes", remedy: "check that it was written or downloaded")
        }
        try source.checkComplete()
        let stream = ByteStream(source)
        defer { withExtendedLifetime(stream) {} }  // libsndfile has its address, also while it fails
        var callbacks = ByteStream.callbacks
        var info = SF_INFO()
        Self.opening.lock()
        defer { Self.opening.unlock() }
        let opened = sf_open_virtual(
            &callbacks, Int32(SFM_READ), &info, Unmanaged.passUnretained(stream).toOpaque())
        guard let opened else { throw Self.refusal(source) }
        guard (1...Self.mostChannels).contains(Int(info.channels)), Self.rates.contains(Int(info.samplerate)) else {
            sf_close(opened)
            throw source.error(
                .tooLarge,
                expected: "1 to \(Self.mostChannels) channels at \(Self.rates.lowerBound) to "
                    + "\(Self.rates.upperBound) Hz",
                found: "\(info.channels) channels at \(info.samplerate) Hz",
                remedy: "unless the header is damaged, convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav")
        }
        self.stream = stream
        handle = opened
        sampleRate = Int(info.samplerate)
        channels = Int(info.channels)
        announcedFrames = Int(info.frames)
    }

    deinit {
        sf_close(handle)
    }

    /// The next at most `frames` frames, `[frames, channels]`; empty at the end.
    mutating func read(frames: Int) throws(MediaError) -> [Float] {
        var failed = false
        let samples = [Float](unsafeUninitializedCapacity: frames * channels) { buffer, count in
            let read = Int(sf_readf_float(handle, buffer.baseAddress, sf_count_t(frames)))
            failed = read < frames && sf_error(handle) != SF_ERR_NO_ERROR
            count = max(0, read) * channels
        }
        framesRead += samples.count / channels
        if failed {
            let seconds = String(format: "%.2f", Double(framesRead) / Double(sampleRate))
            throw source.error(
                .malformed, expected: "sound that decodes",
                found: "\(Self.sentence(sf_strerror(handle))) after \(seconds) s",
                remedy: "export or download the recording again")
        }
        return samples
    }

    var source: SourceBytes { stream.source }

    private static func refusal(_ source: SourceBytes) -> MediaError {
        let convert = "convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav"
        let format = MediaFormat(source.bytes)
        let code = sf_error(nil)
        if format == .unknown && code != SF_ERR_UNRECOGNISED_FORMAT {
            return source.error(
                .malformed, expected: "a whole recording",
                found: code == noMPEGFrame ? "an MPEG header without a frame that decodes" : sentence(sf_strerror(nil)),
                remedy: "export or download it again, or \(convert)")
        }
        return source.error(
            .unsupported, expected: "WAV, FLAC, OGG (Vorbis, Opus), MP3 or AIFF",
            found: format.name ?? "something else",
            remedy: "if it has sound, \(convert)")
    }

    /// libsndfile's internal SFE_BAD_FILE, whose text speaks of files that do not exist.
    private static let noMPEGFrame: Int32 = 7

    private static func sentence(_ text: UnsafePointer<CChar>?) -> String {
        guard let text else { return "an error without a name" }
        let words = String(cString: text)
        return words.hasSuffix(".") ? String(words.dropLast()) : words
    }
}

/// A position in bytes that libsndfile reads as it would read a file.
private final class ByteStream {
    let source: SourceBytes
    private var position = 0
    /// Everything before this has been given back.
    private var forgotten = 0

    init(_ source: SourceBytes) {
        self.source = source
    }

    static var callbacks: SF_VIRTUAL_IO {
        SF_VIRTUAL_IO(
            get_filelen: { sf_count_t(ByteStream.at($0).source.bytes.count) },
            seek: { ByteStream.at($2).seek(to: $0, from: $1) },
            read: { ByteStream.at($2).read(into: $0, count: $1) },
            write: { _, _, _ in 0 },
            tell: { sf_count_t(ByteStream.at($0).position) })
    }

    /// The stream outlives the handle that is given its address: `SoundFile` owns both.
    private static func at(_ address: UnsafeMutableRawPointer?) -> ByteStream {
        Unmanaged<ByteStream>.fromOpaque(address!).takeUnretainedValue()
    }

    private func seek(to offset: sf_count_t, from whence: Int32) -> sf_count_t {
        let base =
            switch whence {
            case SEEK_CUR: position
            case SEEK_END: source.bytes.count
            default: 0
            }
        let (target, overflows) = base.addingReportingOverflow(Int(offset))
        guard !overflows, target >= 0 else { return -1 }
        position = target
        return sf_count_t(target)
    }

    private func read(into buffer: UnsafeMutableRawPointer?, count: sf_count_t) -> sf_count_t {
        let available = min(max(0, Int(count)), max(0, source.bytes.count - position))
        guard available > 0, let buffer else { return 0 }
        source.bytes.withUnsafeBytes { bytes in
            buffer.copyMemory(from: bytes.baseAddress! + position, byteCount: available)
        }
        position += available
        if position - forgotten > 1 << 23 {
            source.forget(forgotten..<position)
            forgotten = position
        }
        return sf_count_t(available)
    }
}
