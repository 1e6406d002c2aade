import CSndFile
import Foundation

/// A recording opened by libsndfile: interleaved frames at the file's own sample rate, integers scaled to [-1, 1).
///
/// Sendable although it holds a C handle: the handle has one owner, and reading needs exclusive access to it.
final class SoundFile: SoundDecoder, @unchecked Sendable {
    let sampleRate: Int
    let channels: Int
    let announcedFrames: Int

    /// libsndfile keeps the reason of a failed open in one global, which the next open on any thread overwrites.
    private static let opening = NSLock()

    private let source: SourceBytes
    private let stream: ByteStream
    private let handle: OpaquePointer
    private var framesRead = 0
    private var failure: MediaError?

    /// - Parameter bytes: the bytes of the source that libsndfile reads.
    init(_ source: SourceBytes, _ bytes: SplicedBytes) throws(MediaError) {
        let stream = ByteStream(source, bytes)
        defer { withExtendedLifetime(stream) {} }  // libsndfile holds its address, also while opening fails
        var callbacks = ByteStream.callbacks
        var info = SF_INFO()
        Self.opening.lock()
        defer { Self.opening.unlock() }
        let opened = sf_open_virtual(
            &callbacks, Int32(SFM_READ), &info, Unmanaged.passUnretained(stream).toOpaque())
        guard let opened else { throw Self.refusal(source) }
        do {
            try SoundLimits.check(source, channels: Int(info.channels), sampleRate: Int(info.samplerate))
        } catch {
            sf_close(opened)
            throw error
        }
        self.source = source
        self.stream = stream
        handle = opened
        sampleRate = Int(info.samplerate)
        channels = Int(info.channels)
        announcedFrames = Int(info.frames)
    }

    deinit {
        sf_close(handle)
    }

    /// - Throws: `MediaError` if the file does not decode, after returning the frames before the damage.
    func read(frames: Int) throws(MediaError) -> [Float] {
        if let failure { throw failure }
        var failed = false
        let samples = [Float](unsafeUninitializedCapacity: frames * channels) { buffer, count in
            let read = Int(sf_readf_float(handle, buffer.baseAddress, sf_count_t(frames)))
            failed = read < frames && sf_error(handle) != SF_ERR_NO_ERROR
            count = max(0, read) * channels
        }
        framesRead += samples.count / channels
        if failed {
            let seconds = String(format: "%.2f", Double(framesRead) / Double(sampleRate))
            let error = source.error(
                .malformed, expected: "sound that decodes",
                found: "\(Self.sentence(sf_strerror(handle))) after \(seconds) s",
                remedy: "export or download the recording again")
            guard !samples.isEmpty else { throw error }
            failure = error
        }
        return samples
    }

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

    /// libsndfile's internal SFE_BAD_FILE; its message would speak of a file that does not exist.
    private static let noMPEGFrame: Int32 = 7

    private static func sentence(_ text: UnsafePointer<CChar>?) -> String {
        guard let text else { return "an error without a name" }
        let words = String(cString: text)
        return words.hasSuffix(".") ? String(words.dropLast()) : words
    }
}
